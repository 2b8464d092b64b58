import numpy as np
import pytest
import torch
from scipy import signal

from audiovq.eval import perturb
from audiovq.stress import inputs
from audiovq.stress.inputs import CHANGES
from tests.helpers import noise
from tests.stress.made import RATE, scene


@pytest.fixture(scope="module")
def x():
    return noise(1, RATE, scale=0.2)


def snr(x, y):
    return float(10 * torch.log10(x.square().sum() / (y - x).square().sum()))


def test_all_are_finite_repeat_and_change_something(x):
    before = x.clone()
    for name, (change, label) in CHANGES.items():
        y = change.apply(scene(x))
        assert y.shape[:2] == (1, 1), name
        assert y.isfinite().all(), name
        assert torch.equal(y, change.apply(scene(x))), name
        assert y.shape != x.shape or not torch.equal(y, x), name
        assert y.shape == x.shape or not change.aligned, name
        assert label
    assert torch.equal(x, before)


@pytest.mark.parametrize("length", [1, 7, 1153])
def test_short_recordings_keep_their_length(length):
    short = torch.linspace(-0.5, 0.5, length).view(1, 1, -1)
    for change, _ in CHANGES.values():
        y = change.apply(scene(short))
        assert y.shape == short.shape or (not change.aligned and y.shape[-1] > 0)


def test_noise_is_at_its_level_and_the_same_at_every_level(x):
    for kind in ("white", "pink", "babble"):
        added = {}
        for db in inputs.SNRS:
            y = CHANGES[f"{kind}-{db}"][0].apply(scene(x))
            assert snr(x, y) == pytest.approx(db, abs=0.01)
            added[db] = y - x
        assert torch.allclose(added[20] * 10, added[0], atol=1e-5)
    other = CHANGES["white-0"][0].apply(scene(x, key=2))
    assert not torch.equal(other, CHANGES["white-0"][0].apply(scene(x)))


def test_pink_noise_falls_by_three_decibels_per_octave():
    pink = scene(torch.zeros(1, 1, 20 * RATE)).pink
    frequencies, power = signal.welch(pink.numpy(), RATE, nperseg=4096)
    inside = (frequencies > 50) & (frequencies < 6000)
    slope = np.polyfit(np.log2(frequencies[inside]), 10 * np.log10(power[inside]), 1)[0]
    assert slope == pytest.approx(-3.01, abs=0.15)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25])
def test_clipping_reaches_its_share_of_the_samples_and_leaves_the_rest(x, share):
    y = inputs.clipping(share).apply(scene(x))
    most = y.abs().max()
    assert float((y.abs() == most).double().mean()) == pytest.approx(share, abs=1e-4)
    below = y.abs() < most
    assert torch.equal(y[below], x[below])


@pytest.mark.parametrize("seconds", [0.3, 0.6])
def test_reverberation_falls_by_sixty_decibels_and_keeps_the_power(x, seconds):
    click = torch.zeros(1, 1, RATE)
    click[..., 0] = 1
    response = inputs.reverb(seconds).apply(scene(click)).flatten().double()
    left = response.square().flip(0).cumsum(0).flip(0)  # Schroeder 1965: energy still to come
    level = 10 * torch.log10(left / left[0])
    first, last = (int((level < db).nonzero()[0]) for db in (-5.0, -35.0))
    assert 2 * (last - first) / RATE == pytest.approx(seconds, rel=0.07)
    assert float(response[0] ** 2 / response[1:].square().sum()) == pytest.approx(1, rel=0.02)
    assert not response[1:40].abs().max() > 1e-6
    y = inputs.reverb(seconds).apply(scene(x))
    assert float(y.square().mean() / x.square().mean()) == pytest.approx(1, rel=1e-4)
    assert not inputs.reverb(seconds).apply(scene(torch.zeros(1, 1, 50))).any()


def test_g711_is_mu_law_at_8_khz(x):
    low = x[..., :4000]
    expected = perturb.mu_law().apply(low, scene(low, rate=8000).setting)
    assert torch.equal(inputs.g711().apply(scene(low, rate=8000)), expected)
    heard = inputs.g711().apply(scene(x))
    narrow = CHANGES["band-8k"][0].apply(scene(x))
    assert 25 < snr(narrow, heard) < 45


def test_what_is_known_to_have_changed_is_taken_back(x):
    for name in ("gain+12", "gain-12"):
        change = CHANGES[name][0]
        assert torch.allclose(change.undo(change.apply(scene(x)), scene(x)), x, atol=1e-6)
    t = torch.arange(RATE) / RATE
    tone = (0.3 * torch.sin(2 * torch.pi * 440 * t)).view(1, 1, -1)
    for name in ("speed-0.9", "speed-1.1"):
        change = CHANGES[name][0]
        back = change.undo(change.apply(scene(tone)), scene(tone))
        assert abs(back.shape[-1] - RATE) <= 2
        assert snr(tone[..., 500:15000], back[..., 500:15000]) > 30
