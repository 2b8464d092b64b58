import numpy as np
import pytest
import torch
from scipy import signal

from audiovq.errors import AudioError
from audiovq.eval import perturb
from audiovq.eval.perturb import DEFAULT, Setting

RATE, HOP = 16000, 320


@pytest.fixture
def x() -> torch.Tensor:
    """Two seconds of tones with a slow envelope, and quiet noise above 4 kHz."""
    t = torch.arange(2 * RATE, dtype=torch.float64) / RATE
    tones = sum(torch.sin(2 * torch.pi * f * t) for f in (220.0, 700.0, 1800.0))
    loud = 0.1 * tones * (1 + torch.sin(2 * torch.pi * 3 * t))
    hiss = 0.01 * torch.sin(2 * torch.pi * 6000 * t)
    return (loud + hiss).float().view(1, 1, -1)


def run(perturbation, x, key=1, rate=RATE):
    return perturbation.apply(x, Setting(rate, HOP, key))


def snr(x, y):
    return float(10 * torch.log10(x.square().sum() / (y - x).square().sum()))


def test_all_are_finite_repeat_and_change_something(x):
    assert len({p.name for p in DEFAULT}) == len(DEFAULT)
    before = x.clone()
    for each in DEFAULT:
        y = run(each, x)
        assert y.shape[:2] == (1, 1)
        assert y.isfinite().all()
        assert torch.equal(y, run(each, x))
        assert y.shape != x.shape or not torch.equal(y, x)
        assert y.shape == x.shape or not each.aligned
    assert torch.equal(x, before)


@pytest.mark.parametrize("length", [1, 7, 400, 1153])
def test_short_waveforms_keep_their_length(length):
    x = torch.linspace(-0.5, 0.5, length).view(1, 1, -1)
    for each in DEFAULT:
        assert run(each, x).shape[-1] > 0
        assert run(each, x).shape == x.shape or not each.aligned


def test_speed_moves_pitch_and_length(x):
    y = run(perturb.speed(1.1), x)
    assert y.shape[-1] == pytest.approx(x.shape[-1] / 1.1, abs=1)
    frequencies, power = signal.periodogram(y.flatten().numpy(), RATE)
    strongest = frequencies[np.argsort(power)[-40:]]
    assert any(abs(f - 1.1 * 700) < 5 for f in strongest)
    assert not any(abs(f - 700) < 5 for f in strongest)


def test_gain_is_exact_and_never_clipped(x):
    loud = run(perturb.gain(6.0), 3 * x)
    assert loud.abs().max() > 1
    assert loud == pytest.approx(3 * x * 10 ** (6 / 20))
    assert run(perturb.gain(0.0), x) == pytest.approx(x)


@pytest.mark.parametrize("level", [20.0, 10.0, 0.0])
def test_noise_is_white_gaussian_at_its_level_and_differs_by_utterance(x, level):
    y = run(perturb.noise(level), x)
    assert snr(x, y) == pytest.approx(level, abs=0.01)
    noise = (y - x).flatten().numpy()
    z = noise / noise.std()
    assert abs((z**4).mean() - 3) < 0.2
    assert abs(np.corrcoef(z[1:], z[:-1])[0, 1]) < 0.03
    assert not torch.equal(y, run(perturb.noise(level), x, key=2))


@pytest.mark.parametrize("each", [perturb.codec("MP3"), perturb.codec("OGG", "VORBIS")])
def test_codecs_lose_little_and_keep_time(x, each):
    y = run(each, x)
    best = signal.correlate(y.flatten().numpy(), x.flatten().numpy()).argmax() - (x.shape[-1] - 1)
    assert best == 0
    assert 8 < snr(x, y) < 60


def test_a_rate_that_a_codec_does_not_take_is_said(x):
    with pytest.raises(AudioError, match="MP3 at 15000 Hz"):
        run(perturb.codec("MP3"), x, rate=15000)


def test_mu_law_rounds_to_256_levels_evenly_in_the_log():
    x = torch.linspace(-1, 1, 100_001).view(1, 1, -1)
    y = run(perturb.mu_law(), x)
    assert len(y.unique()) == 256
    assert y.abs().max() == pytest.approx(1)
    assert ((y - x).abs() <= 0.011 + 0.023 * x.abs()).all()
    assert snr(x, y) > 30


def test_the_band_limit_removes_what_is_above_half_the_rate_and_keeps_the_rest(x):
    y = run(perturb.band_limit(8000), x)
    frequencies, before = signal.periodogram(x.flatten().numpy(), RATE)
    after = signal.periodogram(y.flatten().numpy(), RATE)[1]
    high, low = frequencies > 4100, frequencies < 3000
    assert after[high].sum() < 1e-4 * before[high].sum()
    assert after[low].sum() == pytest.approx(before[low].sum(), rel=0.01)
    with pytest.raises(AudioError, match="nothing above 4000 Hz"):
        run(perturb.band_limit(8000), x, rate=8000)


def test_shift_delays_by_a_share_of_a_hop(x):
    y = run(perturb.shift(0.25), x)
    assert torch.equal(y[..., 80:], x[..., :-80])
    assert not y[..., :80].any()
