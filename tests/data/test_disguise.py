"""Disguised speech: formants and spectrum move by what was drawn; pitch, level and length stay."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.config import parse
from audiovq.data.corruption import Corruption, CorruptionConfig
from audiovq.data.disguise import disguise, drawn
from audiovq.errors import ConfigError
from tests.helpers import noise

RATE = 16000
PITCH = 125  # Hz
FLAT = torch.zeros(8)


def vowel(formant_hz, seconds=0.5):
    """Harmonics of one pitch below one wide resonance."""
    k = torch.arange(1, 60)[:, None] * PITCH
    t = torch.arange(round(seconds * RATE)) / RATE
    phases = 2 * torch.pi * torch.rand(60 - 1, 1, generator=torch.Generator().manual_seed(0))
    heights = 1 / (1 + ((k - formant_hz) / 200.0).square())
    return 0.05 * (heights * torch.sin(2 * torch.pi * k * t + phases)).sum(0)[None, None]


def power(x):
    """Long-term power per bin of 1 Hz."""
    return torch.fft.rfft(x[0, 0], RATE).abs().square()


@pytest.mark.parametrize("factor", [0.8, 1.1, 1.25])
def test_formants_move_and_the_pitch_stays(factor):
    x = vowel(1500)
    y = disguise(x, factor, FLAT, RATE)
    p = power(y)
    assert float(p.argmax()) == pytest.approx(1500 * factor, abs=PITCH)  # the loudest harmonic
    on = p[PITCH : 60 * PITCH : PITCH].sum()  # harmonics of the pitch that was
    between = p[PITCH // 2 : 60 * PITCH : PITCH].sum()
    assert float(between / on) < 1e-2


def test_the_equaliser_is_one_filter_for_the_whole_segment():
    x = noise(1, 2 * RATE)
    y = disguise(x, *drawn(np.random.default_rng(3), 1.0, 12.0), RATE)
    gains = []
    for part in (slice(0, RATE), slice(RATE, 2 * RATE)):
        bands = [w[..., part].flatten() for w in (x, y)]
        heard, made = (torch.fft.rfft(b).abs().square()[:8000].view(40, -1).sum(1) for b in bands)
        gains.append(10 * (made / heard).log10())
    assert float((gains[0] - gains[1]).abs().max()) < 0.5  # dB
    assert 4 < float(gains[0].max() - gains[0].min()) < 25


def test_what_is_drawn_between_no_bounds_changes_nothing():
    x = noise(1, 3000)
    y = disguise(x, *drawn(np.random.default_rng(0), 1.0, 0.0), RATE)
    torch.testing.assert_close(y, x, atol=1e-6, rtol=0)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 2**63 - 1))
def test_length_and_level_stay(size, key):
    x = noise(1, size)
    corrupt = Corruption(parse(CorruptionConfig, {"formants": 1.3, "equaliser_db": 9}), RATE)
    y = corrupt(x, key)
    assert y.shape == x.shape
    assert torch.isfinite(y).all()
    assert float(y.square().mean()) == pytest.approx(float(x.square().mean()), rel=1e-4)
    assert torch.equal(y, corrupt(x, key))


def test_draws_fill_their_ranges():
    each = [drawn(np.random.default_rng(seed), 1.3, 9.0) for seed in range(500)]
    factors = np.log([factor for factor, _ in each]) / np.log(1.3)
    gains = torch.stack([gains for _, gains in each]) / 9.0
    for found in (factors, gains.numpy()):
        assert -1 <= found.min() < -0.98
        assert 0.98 < found.max() <= 1
        assert abs(found.mean()) < 0.1


def test_silence_stays_silent():
    x = torch.zeros(1, 1, 1000)
    y = disguise(x, *drawn(np.random.default_rng(0), 1.3, 9.0), RATE)
    assert torch.equal(y, x)


def test_a_disguise_counts_as_corruption():
    assert not parse(CorruptionConfig, {}).active
    assert parse(CorruptionConfig, {"formants": 1.1}).active
    assert parse(CorruptionConfig, {"equaliser_db": 3}).active
    for values in ({"formants": 0.9}, {"equaliser_db": -1}):
        with pytest.raises(ConfigError):
            parse(CorruptionConfig, values)
