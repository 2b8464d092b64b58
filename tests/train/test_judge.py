"""One look of the discriminators gives both sides what separate looks would."""

import pytest
import torch
from torch.nn import functional as F

from audiovq import registry
from audiovq.config import parse
from audiovq.discriminators._all import Discriminators
from audiovq.losses import adversarial
from audiovq.train.judge import AdversarialConfig, judge, phase_of

LENGTHS = torch.tensor([300, 170])


def discriminators():
    torch.manual_seed(0)
    small = {
        "multi_period": {"periods": [2]},
        "multi_resolution": {"n_ffts": [64], "bands": [0, 0.5, 1]},
    }
    return Discriminators(
        [
            parse(registry.get("discriminators", n).config, {"name": n, "width": 0.02, **v})
            for n, v in small.items()
        ]
    )


def batch():
    x = 0.05 * torch.randn(2, 1, 300, generator=torch.Generator().manual_seed(1))
    x_hat = x + 0.02 * torch.randn(2, 1, 300, generator=torch.Generator().manual_seed(2))
    return x * (torch.arange(300) < LENGTHS.view(-1, 1, 1)), x_hat  # the decoder does not mask


DEFAULT = AdversarialConfig()


def look(module, x, x_hat, config=DEFAULT, lengths=LENGTHS, **more):
    return judge(
        module,
        x,
        x_hat,
        lengths,
        samples=LENGTHS.sum(),
        labels=module.labels,
        config=config,
        **more,
    )


@pytest.mark.parametrize("form", ["hinge", "least_squares"])
def test_each_side_gets_its_own_gradient_and_none_of_the_others(form):
    module, (x, x_hat) = discriminators(), batch()
    config = AdversarialConfig(loss=form, weight=0.7, feature_weight=1.3)
    x_hat.requires_grad_()
    verdict = look(module, x, x_hat, config)
    assert all(
        p.grad is None for p in module.parameters()
    )  # the reconstruction's side left nothing
    verdict.rival_loss.backward()
    assert x_hat.grad is None

    share = LENGTHS / LENGTHS.sum()
    masked = x_hat * (torch.arange(300) < LENGTHS.view(-1, 1, 1))
    again = discriminators()
    again.requires_grad_(requires_grad=False)
    ours, theirs = again(x, masked, LENGTHS)
    own = 0.7 * adversarial.generator_loss(form, theirs)
    own = own + 1.3 * adversarial.feature_loss(ours, theirs)
    (own * share).sum().backward()
    torch.testing.assert_close(verdict.pull, x_hat.grad, rtol=1e-4, atol=1e-7)
    assert not verdict.pull[1, :, 170:].any()

    again.requires_grad_(requires_grad=True)
    ours, theirs = again(x, masked.detach(), LENGTHS)
    rival = (adversarial.discriminator_loss(form, ours, theirs) * share).sum()
    rival.backward()
    torch.testing.assert_close(verdict.rival_loss, rival)
    for p, q in zip(module.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-6)


def test_parts_of_a_batch_add_up_however_they_are_padded():
    module, (x, x_hat) = discriminators(), batch()
    scales = {"adversarial": torch.tensor(2.0), "feature": torch.tensor(3.0)}
    whole = look(module, x, x_hat, scales=scales)
    parts = [
        look(module, x[:1], x_hat[:1], lengths=LENGTHS[:1], scales=scales),
        look(module, x[1:, :, :170], x_hat[1:, :, :170], lengths=LENGTHS[1:], scales=scales),
    ]
    for key, value in whole.terms.items():
        torch.testing.assert_close(sum(p.terms[key] for p in parts), value, rtol=1e-4, atol=1e-6)
    for key, value in whole.squares.items():
        torch.testing.assert_close(sum(p.squares[key] for p in parts), value, rtol=1e-3, atol=0.0)
    joined = torch.cat([parts[0].pull, F.pad(parts[1].pull, (0, 130))])
    torch.testing.assert_close(joined, whole.pull, rtol=1e-3, atol=1e-7)


def test_scales_take_the_place_of_weights_and_squares_do_not_know_them():
    module, (x, x_hat) = discriminators(), batch()
    config = AdversarialConfig(weight=1.0, feature_weight=0.0)
    plain = look(module, x, x_hat, config)
    one, two = (
        look(module, x, x_hat, config, scales={"adversarial": torch.tensor(s)}) for s in (1.0, 3.0)
    )
    torch.testing.assert_close(one.pull, plain.pull)
    torch.testing.assert_close(two.pull, 3.0 * plain.pull)
    for found in (one, two):
        torch.testing.assert_close(found.squares["adversarial"], plain.pull.square().sum())
    assert plain.squares == {}
    assert "feature" not in one.terms  # of weight 0: not computed


def test_figures_of_every_view_are_there():
    module, (x, x_hat) = discriminators(), batch()
    verdict = look(module, x, x_hat)
    for label in module.labels:
        for side in ("original", "reconstruction"):
            assert 0.0 <= float(verdict.terms[f"accuracy/{side}/{label}"]) <= 1.0
        assert f"the verdicts of {label}" in verdict.logits


def test_losses_stay_float32_where_bf16_serves():
    module, (x, x_hat) = discriminators(), batch()
    plain, bf16 = look(module, x, x_hat), look(module, x, x_hat, bf16=True)
    assert bf16.pull.dtype == bf16.rival_loss.dtype == torch.float32
    torch.testing.assert_close(bf16.rival_loss, plain.rival_loss, rtol=0.05, atol=0.05)


def test_the_schedule():
    config = AdversarialConfig(start=3, every=2)
    phases = [phase_of(config, step) for step in range(1, 9)]
    assert [p.judged for p in phases] == [False] * 3 + [True] * 5
    assert [p.learns for p in phases] == [False] * 3 + [True, False, True, False, True]
    assert [p.number for p in phases if p.learns] == [0, 1, 2]
    assert all(p.learns for p in (phase_of(AdversarialConfig(), s) for s in range(1, 5)))
