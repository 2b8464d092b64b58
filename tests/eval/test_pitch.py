import numpy as np
import pytest
import torch

from audiovq.eval import pitch
from audiovq.eval.pitch import Track
from audiovq.eval.reconstruction import Original, Scorer
from tests.helpers import noise

RATE = 16000


def tone(hertz, seconds=0.8, rate=RATE):
    """A harmonic tone, as a voice has it."""
    t = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    x = sum(torch.sin(2 * torch.pi * k * hertz * t) / k for k in range(1, 8))
    return (0.1 * x).float().view(1, 1, -1)


@pytest.fixture(scope="module")
def scorer():
    return Scorer(RATE, pitch.NAMES)


@pytest.mark.parametrize("hertz", [75.0, 123.4, 311.1])
def test_the_pitch_of_a_tone_is_found(hertz):
    found = pitch.track(tone(hertz), RATE)
    middle = found.hertz[5:-5]
    assert np.isfinite(middle).all()
    assert np.abs(pitch.cents(middle, np.array(hertz))).max() < 8


@pytest.mark.parametrize("shift", [-43.0, 7.0, 150.0])
def test_a_shifted_tone_is_off_by_what_it_was_shifted(scorer, shift):
    scores = scorer(tone(140), tone(140 * 2 ** (shift / 1200)))
    assert scores["f0_median_error"] == pytest.approx(abs(shift), abs=6)
    assert scores["f0_rmse"] == pytest.approx(abs(shift), abs=10)
    assert scores["f0_gross_error"] == 0
    assert scores["voicing_error"] < 5


def test_a_fifth_is_a_gross_error(scorer):
    scores = scorer(tone(140), tone(210))
    assert scores["f0_gross_error"] > 95
    assert scores["f0_median_error"] == pytest.approx(702, abs=6)


def test_noise_is_unvoiced(scorer):
    loud = noise(1, 12800, scale=0.1)
    scores = scorer(tone(140), loud)
    assert scores["voicing_error"] > 80
    assert scorer(loud, tone(140))["voicing_error"] > 80
    silent = scorer(tone(140), torch.zeros(1, 1, 12800))
    assert silent["f0_rmse"] == "no frame is voiced in both"
    assert silent["voicing_error"] > 90


def test_the_errors_are_those_of_their_definitions():
    nan = float("nan")
    a = Track(np.array([100.0, 100.0, 200.0, nan, nan, 100.0]))
    b = Track(np.array([100.0, 130.0, 200.0 * 2 ** (1 / 12), 90.0, nan, nan]))
    found = pitch.errors(a, b)
    up = 1200 * np.log2(1.3)
    assert found["f0_rmse"] == pytest.approx(np.sqrt((0 + up**2 + 100**2) / 3))
    assert found["f0_median_error"] == pytest.approx(100)
    assert found["f0_gross_error"] == pytest.approx(100 / 3)
    assert found["voicing_error"] == pytest.approx(100 * 2 / 6)
    nothing = pitch.errors(Track(np.full(4, nan)), Track(np.full(4, 100.0)))
    assert nothing["f0_rmse"] == "the original is unvoiced"
    assert nothing["voicing_error"] == 100


def test_an_original_is_tracked_once(scorer, monkeypatch):
    calls = []
    real = pitch.track
    monkeypatch.setattr(pitch, "track", lambda *a: calls.append(1) or real(*a))
    original = Original(tone(140, 0.3), RATE)
    first = scorer(original, tone(140, 0.3))
    assert scorer(original, tone(150, 0.3)) != first
    assert len(calls) == 3


def test_too_little_is_refused(scorer):
    short = scorer(tone(140, 0.05), tone(140, 0.05))
    assert set(short.values()) == {"shorter than 0.1 s"}
