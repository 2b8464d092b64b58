"""One contract for every discriminator in the folder: a new file is tested by being there."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq import registry
from audiovq.config import parse
from audiovq.discriminators._all import Discriminators
from audiovq.errors import ConfigError
from tests.helpers import every_weight_matters

NAMES = registry.names("discriminators")
# Settings besides the smallest that the contract must hold for, too.
VARIANTS = {
    "multi_period": [{"periods": [1, 4]}],
    "multi_resolution": [{"n_ffts": [16, 128], "bands": [0, 0.5, 1]}, {"bands": [0, 1]}],
}
SMALL = {
    "multi_period": {"periods": [2, 3]},
    "multi_resolution": {"n_ffts": [64], "bands": [0, 0.3, 1]},
}
CASES = [(n, {**SMALL.get(n, {}), **more}) for n in NAMES for more in [{}, *VARIANTS.get(n, [])]]


def make(name, **values):
    """A discriminator in double precision, narrow, in which every weight matters."""
    found = registry.get("discriminators", name)
    torch.manual_seed(0)
    module = found.cls(parse(found.config, {"name": name, "width": 0.02, **values})).double()
    return every_weight_matters(module)


@pytest.fixture(params=CASES, ids=str)
def discriminator(request):
    name, values = request.param
    return make(name, **values)


def noise(items, size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 0.05 * torch.randn(items, 1, size, generator=generator, dtype=torch.float64)


def maps(view):
    return [view.logits, *view.features]


def padded(lengths, size):
    x = noise(len(lengths), size)
    for i, n in enumerate(lengths):
        x[i, :, n:] = 0.0
    return x, torch.tensor(lengths)


def test_every_view_has_a_name_verdicts_of_one_channel_and_features(discriminator):
    views = discriminator(noise(2, 500), torch.tensor([500, 500]))
    assert len(views) == len(discriminator.labels) == len(set(discriminator.labels))
    for view in views:
        assert view.logits.values.shape[1] == 1
        assert len(view.features) >= 4
        for m in maps(view):
            assert m.values.shape[2] == int(m.steps.max())


def test_an_item_is_the_same_alone_and_padded(discriminator):
    lengths = [400, 133, 1, 64]
    x, n = padded(lengths, 461)
    together = discriminator(x, n)
    for i, length in enumerate(lengths):
        alone = discriminator(x[i : i + 1, :, :length], n[i : i + 1])
        for whole, single in zip(together, alone, strict=True):
            for a, b in zip(maps(whole), maps(single), strict=True):
                steps = int(a.steps[i])
                assert steps == int(b.steps[0]) == b.values.shape[2]
                torch.testing.assert_close(a.values[i : i + 1, :, :steps], b.values)
                assert not a.values[i, :, steps:].any()


def test_gradients_do_not_see_padding(discriminator):
    x, n = padded([200, 150], 200)
    x.requires_grad_()
    sum(v.logits.mean()[1] for v in discriminator(x, n)).backward()
    alone = x.detach()[1:, :, :150].clone().requires_grad_()
    sum(v.logits.mean()[0] for v in discriminator(alone, n[1:])).backward()
    torch.testing.assert_close(x.grad[1:, :, :150], alone.grad)
    assert not x.grad[0].any()


def test_forward_changes_no_state_and_no_generator_and_repeats_itself(discriminator):
    before = {k: v.clone() for k, v in discriminator.state_dict().items()}
    generator = torch.get_rng_state()
    x, n = padded([90], 90)
    one, two = (discriminator(x, n)[0].logits.values for _ in range(2))
    assert torch.equal(one, two)
    assert all(torch.equal(v, before[k]) for k, v in discriminator.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)


def test_every_weight_learns_and_is_normalised(discriminator):
    sum(
        v.logits.mean().sum() for v in discriminator(noise(2, 300), torch.tensor([300, 300]))
    ).backward()
    missing = [n for n, p in discriminator.named_parameters() if p.grad is None or not p.grad.any()]
    assert missing == []
    kinds = {n.rpartition(".")[2] for n, _ in discriminator.named_parameters()}
    assert kinds == {"bias", "original0", "original1"}  # length and direction


def test_silence_and_a_single_sample_have_finite_values_and_gradients(discriminator):
    for x in (torch.zeros(1, 1, 50, dtype=torch.float64), noise(1, 1)):
        x.requires_grad_()
        views = discriminator(x, torch.tensor([x.shape[-1]]))
        sum(m.mean().sum() for v in views for m in maps(v)).backward()
        assert torch.isfinite(x.grad).all()


@settings(max_examples=20, deadline=None)
@given(size=st.integers(1, 300), seed=st.integers(0, 9))
def test_a_mean_over_real_steps_is_what_a_loop_finds(size, seed):
    views = make("multi_period", periods=[3])(*padded([size, max(1, size // 2)], size))
    for m in maps(views[0]):
        for i, steps in enumerate(m.steps.tolist()):
            expected = m.values[i, :, :steps].mean()
            torch.testing.assert_close(m.mean()[i].double(), expected, atol=1e-6, rtol=1e-5)


def test_width_one_is_as_published():
    """HiFi-GAN, appendix A; DAC's released weights have these shapes."""
    with torch.device("meta"):
        found = [registry.get("discriminators", n) for n in ("multi_period", "multi_resolution")]
        period, resolution = (f.cls(parse(f.config, {"name": f.name})) for f in found)
    shapes = [tuple(layer.conv.weight.shape) for layer in period.views[0]]
    assert shapes == [
        (32, 1, 5, 1), (128, 32, 5, 1), (512, 128, 5, 1), (1024, 512, 5, 1), (1024, 1024, 5, 1),
        (1, 1024, 3, 1),
    ]  # fmt: skip
    assert period.labels == ("period_2", "period_3", "period_5", "period_7", "period_11")
    # 41.1 M parameters in HiFi-GAN's multi-period discriminator, weight norm's lengths included
    assert sum(p.numel() for p in period.parameters()) == pytest.approx(41.1e6, rel=2e-3)
    assert [len(v.bands) for v in resolution.views] == [5, 5, 5]
    band = resolution.views[0].bands[0]
    assert [tuple(layer.conv.weight.shape) for layer in band] == [
        (32, 2, 3, 9), (32, 32, 3, 9), (32, 32, 3, 9), (32, 32, 3, 9), (32, 32, 3, 3),
    ]  # fmt: skip
    assert sum(resolution.views[0].widths) == 1025


def test_strides_are_hifi_gans():
    view = make("multi_period", periods=[2])(noise(1, 16000), torch.tensor([16000]))[0]
    assert [m.values.shape[2] for m in view.features] == [2667, 889, 297, 99, 99]
    assert view.logits.values.shape == (1, 1, 99, 2)


def test_a_spectrogram_is_librosas():
    import librosa
    import numpy as np

    module = make("multi_resolution", n_ffts=[64], bands=[0, 1]).views[0]
    x = noise(1, 640)
    ours = module._spectrum(x)[0].numpy()
    theirs = librosa.stft(x[0, 0].numpy(), n_fft=64, hop_length=16, pad_mode="constant")[:, :40]
    theirs = theirs / np.sqrt((np.hanning(65)[:64] ** 2).sum())
    np.testing.assert_allclose(ours, np.stack([theirs.real.T, theirs.imag.T]), atol=1e-6)


def test_settings_that_cannot_be_are_one_clear_line():
    for name, values, match in (
        ("multi_resolution", {"n_ffts": [30]}, "30 is no window; multiples of 4"),
        ("multi_resolution", {"bands": [0, 0.5]}, "edges from 0 to 1 that ascend"),
        ("multi_resolution", {"n_ffts": [16], "bands": [0, 0.01, 1]}, "too few for bands"),
        ("multi_period", {"width": 0}, "width: 0 given"),
        ("multi_period", {"periods": []}, "periods"),
    ):
        with pytest.raises(ConfigError, match=match):
            make(name, **values)


def test_several_are_one_and_see_both_sides_in_one_batch():
    configs = [
        parse(registry.get("discriminators", n).config, {"name": n, "width": 0.02, **SMALL[n]})
        for n in ("multi_period", "multi_resolution")
    ]
    both = Discriminators(configs).double()
    assert both.labels == (
        "multi_period/period_2", "multi_period/period_3", "multi_resolution/resolution_64",
    )  # fmt: skip
    x, n = padded([200, 90], 200)
    x_hat = 0.5 * x
    ours, theirs = both(x, x_hat, n)
    for sides, given_ in ((ours, x), (theirs, x_hat)):
        views = [v for member in both.members for v in member(given_, n)]
        for a, b in zip(sides, views, strict=True):
            torch.testing.assert_close(a.logits.values, b.logits.values)
            assert torch.equal(a.logits.steps, b.logits.steps)
            assert len(a.features) == len(b.features)
