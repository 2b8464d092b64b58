"""One contract for every prior in the folder: a new file is tested by being there."""

import dataclasses
import itertools

import pytest
import torch

from audiovq import registry
from audiovq.config import parse
from audiovq.prior._base import Condition
from audiovq.prior._sample import sample

NAMES = registry.names("priors")
SIZES = [(5,), (4, 6, 5)]
# Whichever of these a prior has, so that it is tiny, and takes conditions if it can.
SMALL = {
    "channels": 8,
    "skip_channels": 8,
    "hidden": 8,
    "width": 8,
    "layers": 2,
    "heads": 2,
    "dilations": [1, 2],
    "order": 2,
    "window": 6,
}
LOCAL = {"condition_codes": [3, 4], "condition_features": 2}
T = 9


def make(name, sizes, *, labels=3, local=True, **values):
    """A tiny prior in eval mode whose every weight matters; one that counts has counted."""
    found = registry.get("priors", name)
    known = found.config.model_fields
    wanted = {**SMALL, **(LOCAL if local else {}), **values}
    config = parse(found.config, {"name": name} | {k: v for k, v in wanted.items() if k in known})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        prior = found.cls(config, sizes, labels)
        for parameter in prior.parameters():
            torch.nn.init.normal_(parameter, std=0.4)
    if hasattr(prior, "fit"):
        prior.fit(draw_codes(sizes, 4, 50, seed=8))
    return prior.eval()


def draw_codes(sizes, items, frames, *, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randint(n, (items, frames), generator=generator) for n in sizes]
    return torch.stack(rows, dim=1)


def draw_condition(prior, items, frames, *, seed=1):
    """A condition of everything that the prior takes; the other codes are half as frequent."""
    generator = torch.Generator().manual_seed(seed)
    config = prior.config
    label = codes = features = None
    if prior.labels:
        label = torch.randint(1, prior.labels + 1, (items,), generator=generator)
    if getattr(config, "condition_codes", ()):
        codes = draw_codes(config.condition_codes, items, (frames + 1) // 2, seed=seed)
    if getattr(config, "condition_features", 0):
        features = torch.randn(items, config.condition_features, frames, generator=generator)
    return Condition(
        label=label, codes=codes, features=features, keys=torch.arange(items) * 7 + seed
    )


def cut(condition, item, frames):
    """The condition of one item alone, of so many frames."""
    return Condition(
        label=None if condition.label is None else condition.label[[item]],
        codes=None if condition.codes is None else condition.codes[[item], :, : (frames + 1) // 2],
        features=None if condition.features is None else condition.features[[item], :, :frames],
        keys=None if condition.keys is None else condition.keys[[item]],
    )


def order(prior, frames):
    """The number of each code's group, (K, T)."""
    number = torch.full((prior.num_codebooks, frames), -1)
    for i, group in enumerate(prior.groups(frames)):
        for k, t in group:
            assert number[k, t] == -1, f"the code at row {k}, frame {t} is drawn twice"
            number[k, t] = i
    assert (number >= 0).all()
    return number


def close(a, b, tolerance=1e-5):
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


@pytest.fixture(params=[(n, s) for n in NAMES for s in SIZES], ids=str)
def prior(request):
    return make(*request.param)


def test_logits_have_their_shape_and_end_at_each_row_s_size(prior):
    codes, sizes = draw_codes(prior.codebook_sizes, 3, T), prior.codebook_sizes
    logits = prior(codes, None, draw_condition(prior, 3, T))
    assert logits.shape == (3, len(sizes), max(sizes), T)
    for k, size in enumerate(sizes):
        assert torch.isfinite(logits[:, k, :size]).all()
        assert (logits[:, k, size:] == -torch.inf).all()


def test_one_item_of_one_frame_works(prior):
    codes = draw_codes(prior.codebook_sizes, 1, 1)
    found = prior.log_prob(codes, None, draw_condition(prior, 1, 1))
    assert torch.isfinite(found).all()
    assert (found < 0).all()


def test_a_code_depends_on_what_is_drawn_before_it_and_within_the_context(prior):
    sizes, frames = prior.codebook_sizes, T
    codes, condition = draw_codes(sizes, 1, frames), draw_condition(prior, 1, frames)
    number, before = order(prior, frames), prior(codes, None, condition)
    far = frames if prior.context is None else prior.context
    for k, t in itertools.product(range(len(sizes)), range(frames)):
        other = codes.clone()
        other[0, k, t] = (other[0, k, t] + 1) % sizes[k]
        after = prior(other, None, condition)
        changed = ((after != before) & torch.isfinite(before))[0].any(dim=1)  # (K, T)
        later = number > number[k, t]
        assert not changed[~later].any(), f"row {k}, frame {t} changes what is drawn before it"
        assert not changed[:, t + far + 1 :].any(), f"row {k}, frame {t} reaches past the context"
        assert not changed[:, : max(t - prior.ahead, 0)].any(), "it is heard further back than said"
        if t < frames - 1 and far > 0:
            assert changed[later].any(), f"row {k}, frame {t} changes nothing"


def test_padding_and_company_change_nothing(prior):
    sizes, lengths = prior.codebook_sizes, torch.tensor([T, 4, 7, 1])
    codes, condition = draw_codes(sizes, 4, T), draw_condition(prior, 4, T)
    past_the_end = torch.arange(T) >= lengths.view(-1, 1, 1)
    padded = [torch.where(past_the_end, value, codes) for value in (0, -1, 1000)]
    found = [prior.log_prob(c, lengths, condition) for c in padded]
    assert (found[0].masked_select(past_the_end) == 0).all()
    close(found[1], found[0])
    close(found[2], found[0])
    logits = prior(padded[0], lengths, condition)
    for i, length in enumerate(lengths.tolist()):
        alone = cut(condition, i, length)
        close(prior.log_prob(codes[[i], :, :length], None, alone), found[0][[i], :, :length])
        close(prior(codes[[i], :, :length], None, alone), logits[[i], :, :, :length])


@pytest.mark.parametrize("kind", ["all", "label", "nothing"])
@pytest.mark.parametrize(("name", "sizes"), list(itertools.product(NAMES, SIZES)), ids=str)
def test_steps_equal_forward(name, sizes, kind):
    prior = make(name, sizes, local=kind == "all", labels=0 if kind == "nothing" else 3)
    codes, condition = draw_codes(sizes, 3, 14), draw_condition(prior, 3, 14)
    whole, steps = prior(codes, None, condition), prior.steps(3, 14, condition)
    for group in prior.groups(14):
        rows, times = zip(*group, strict=True)
        expected = torch.stack([whole[:, k, :, t] for k, t in group], dim=1)
        close(steps.logits(), expected, 1e-4)
        close(steps.logits(), expected, 1e-4)  # asking twice changes nothing
        steps.push(codes[:, list(rows), list(times)])


def test_sampling_with_cached_state_draws_what_forward_would(prior):
    """The codes that `sample` draws are those that full recomputation draws, group by group."""
    items, frames = 3, 8
    condition = draw_condition(prior, items, frames)
    drawn = sample(prior, items, frames, condition=condition, seed=3)
    greedy = sample(prior, items, frames, condition=condition, temperature=0.0)
    found, best = torch.zeros_like(drawn), torch.zeros_like(drawn)
    uniforms = _uniforms(items, frames, prior.num_codebooks, seed=3)
    for group in prior.groups(frames):
        logits, top = prior(found, None, condition), prior(best, None, condition)
        for k, t in group:
            cdf = logits[:, k, :, t].double().softmax(-1).cumsum(-1)
            found[:, k, t] = (cdf <= uniforms[:, t, k, None] * cdf[:, -1:]).sum(-1)
            best[:, k, t] = top[:, k, :, t].argmax(-1)
    assert torch.equal(drawn, found)
    assert torch.equal(greedy, best)


def _uniforms(items, frames, rows, seed):
    from audiovq.nn import random

    keys = random.bits(torch.tensor([seed]), "sample.items", items)[0]
    return random.uniform(keys, "sample", frames * rows).view(items, frames, rows)


@pytest.mark.parametrize("sizes", [(3,), (2, 3)])
@pytest.mark.parametrize("name", NAMES)
def test_probabilities_of_all_sequences_add_up_to_one(name, sizes):
    prior = make(name, sizes)
    frames = 4 if len(sizes) == 1 else 3
    alphabets = [range(n) for n in sizes for _ in range(frames)]
    every = torch.tensor(list(itertools.product(*alphabets))).view(-1, len(sizes), frames)
    one = draw_condition(prior, 1, frames)
    values = {
        f.name: None if (v := getattr(one, f.name)) is None else v.expand(len(every), *v.shape[1:])
        for f in dataclasses.fields(one)
    }
    for condition in (Condition(**values), Condition(**{**values, "label": None})):
        total = prior.log_prob(every, None, condition).double().sum(dim=(1, 2)).exp().sum()
        assert abs(float(total.detach()) - 1) < 1e-5


def test_label_zero_is_no_label_and_another_label_tells(prior):
    codes, condition = draw_codes(prior.codebook_sizes, 2, T), draw_condition(prior, 2, T)
    none = prior(codes, None, dataclasses.replace(condition, label=None))
    zero = prior(codes, None, dataclasses.replace(condition, label=torch.zeros(2).long()))
    assert torch.equal(none, zero)
    if hasattr(prior.config, "label_dropout"):  # it can hear labels
        assert not torch.equal(none, prior(codes, None, condition))


def test_other_codes_and_features_tell(prior):
    codes, condition = draw_codes(prior.codebook_sizes, 2, T), draw_condition(prior, 2, T)
    before = prior(codes, None, condition)
    if condition.codes is not None:
        other = dataclasses.replace(condition, codes=(condition.codes + 1) % 3)
        assert not torch.equal(before, prior(codes, None, other))
    if condition.features is not None:
        other = dataclasses.replace(condition, features=condition.features + 1)
        assert not torch.equal(before, prior(codes, None, other))


def test_gradients_are_finite_and_draws_belong_to_items(prior):
    """In training, with dropout: no generator is touched, and an item's draws are its own."""
    if not list(prior.parameters()):
        pytest.skip("nothing is learnt by gradient")
    prior.train()
    codes, lengths = draw_codes(prior.codebook_sizes, 3, T), torch.tensor([T, 5, 3])
    condition, generator = draw_condition(prior, 3, T), torch.get_rng_state()
    found = prior.log_prob(codes, lengths, condition)
    assert torch.equal(torch.get_rng_state(), generator)
    found.sum().backward()
    for name, parameter in prior.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    for i, length in enumerate(lengths.tolist()):
        alone = prior.log_prob(codes[[i], :, :length], None, cut(condition, i, length))
        close(alone, found[[i], :, :length])


def test_state_dict_restores_it(prior):
    codes, condition = draw_codes(prior.codebook_sizes, 2, T), draw_condition(prior, 2, T)
    other = type(prior)(prior.config, prior.codebook_sizes, prior.labels).eval()
    other.load_state_dict(prior.state_dict())
    assert torch.equal(other(codes, None, condition), prior(codes, None, condition))
