import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from demo_app.sound import Recording
from demo_app.work import loudness as library
from demo_app.work.loudness import loudness, matched
from tests.helpers import noise


def tone(level, seconds=2.0, rate=48000, frequency=997.0):
    t = torch.arange(round(seconds * rate)) / rate
    x = 10 ** (level / 20) * torch.sin(2 * math.pi * frequency * t)
    return Recording(x.view(1, 1, -1), rate)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("level", [-23.0, -33.0, 0.0])
def test_a_tone_has_the_loudness_that_the_standard_says(level, rate):
    """EBU Tech 3341: 997 Hz of one channel at 0 dBFS is -3.01 LUFS."""
    assert loudness(tone(level, rate=rate)) == pytest.approx(level - 3.01, abs=0.06)


def test_the_filters_are_those_of_the_standard_and_nothing_comes_round():
    """ITU-R BS.1770-4, tables 1 and 2, at 48 kHz; the recursion as the other way to filter."""
    shelf, high_pass = library._shelf(48000), library._high_pass(48000)
    assert shelf[0] == pytest.approx((1.53512485958697, -2.69169618940638, 1.19839281085285))
    assert shelf[1] == pytest.approx((1.0, -1.69065929318241, 0.73248077421585))
    assert high_pass[0] == (1.0, -2.0, 1.0)
    assert high_pass[1] == pytest.approx((1.0, -1.99004745483398, 0.99007225036621))
    x = noise(1, 3000)[0, 0].double()
    for rate in (8000, 48000):
        slow = x.tolist()
        for b, a in (library._shelf(rate), library._high_pass(rate)):
            slow = recursion(b, a, slow)
        fast = library._weighted(x, rate)
        torch.testing.assert_close(fast, torch.tensor(slow).double(), atol=1e-6, rtol=1e-5)


def recursion(b, a, x):
    y = []
    for n, value in enumerate(x):
        before = [(x[n - i], y[n - i]) if n >= i else (0.0, 0.0) for i in (1, 2)]
        fed = sum(b[i] * u - a[i] * v for i, (u, v) in enumerate(before, 1))
        y.append((b[0] * value + fed) / a[0])
    return y


def test_pauses_do_not_count_and_silence_has_none():
    speech = noise(1, 32_000)
    paused = torch.cat([speech, torch.zeros(1, 1, 64_000)], dim=-1)
    found = [loudness(Recording(x, 16000)) for x in (speech, paused)]
    assert found[1] == pytest.approx(found[0], abs=0.5)
    assert loudness(Recording(torch.zeros(1, 1, 16000), 16000)) is None
    assert loudness(Recording(noise(1, 6399), 16000)) is None
    assert loudness(Recording(noise(1, 6400), 16000)) is not None


@given(st.lists(st.floats(-29, 20), min_size=1, max_size=3), st.sampled_from([800, 8000]))
@settings(max_examples=20, deadline=None)
def test_all_are_brought_to_one_loudness_and_none_clips(gains, length):
    original = Recording(noise(1, length), 16000)
    others = [Recording(original.x * 10 ** (g / 20), 16000) for g in gains]
    found = matched(original, others)
    first = found[0][0]
    for (r, gain), g in zip(found[1:], gains, strict=True):
        torch.testing.assert_close(r.x, first.x, atol=2e-4, rtol=2e-3)
        assert gain == pytest.approx(found[0][1] - g, abs=0.02)
    assert max(float(r.x.abs().max()) for r, _ in found) <= 1 + 1e-6
    assert found[0][1] <= 0


def test_silence_stays_silence_and_nothing_is_raised_without_end():
    original, silent = Recording(noise(1, 8000), 16000), Recording(torch.zeros(1, 1, 8000), 16000)
    (_, _), (same, gain) = matched(original, [silent])
    assert gain == 0
    assert not same.x.any()
    faint = Recording(original.x * 1e-3, 16000)
    assert matched(original, [faint])[1][1] == pytest.approx(30.0)
    assert matched(silent, [original])[1][1] == 0
