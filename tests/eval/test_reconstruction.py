import builtins
import importlib.util

import librosa
import numpy as np
import pesq
import pystoi
import pytest
import soxr
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.errors import ConfigError
from audiovq.eval import reconstruction
from audiovq.eval.edges import EDGES
from audiovq.eval.reconstruction import NAMES, STANDARD, Scorer, si_sdr
from audiovq.eval.values import METRICS
from tests.helpers import noise

RATE = 16000


@pytest.fixture(scope="module")
def scorer():
    return Scorer(RATE, STANDARD)


def speech(seconds=2.0, rate=RATE, seed=0):
    """Voiced bursts with pauses, which PESQ and STOI take for speech."""
    t = np.arange(int(seconds * rate)) / rate
    rng = np.random.default_rng(seed)
    pitch = 120 + 30 * np.sin(2 * np.pi * 0.7 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    tone = sum(np.sin(k * phase) / k for k in range(1, 25))
    gate = np.clip(np.sin(2 * np.pi * 3 * t) * 3, 0, 1)
    x = 0.1 * tone * gate + 1e-3 * rng.normal(size=len(t))
    return torch.tensor(x, dtype=torch.float32).view(1, 1, -1)


def degraded(x, snr_db=10.0):
    e = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    return x + e * x.norm() / e.norm() * 10 ** (-snr_db / 20)


def test_every_measure_is_defined_in_words():
    assert set(NAMES) <= set(METRICS)


def test_si_sdr_is_the_snr_of_noise_at_a_right_angle_whatever_the_gain():
    x = noise(1, 8000)
    x = x - x.mean()
    e = noise(1, 8000, seed=7)
    e = e - e.mean()
    e = e - (e * x).sum() / x.square().sum() * x
    x_hat = x + e * x.norm() / e.norm() * 10 ** (-12 / 20)
    for gain in (1.0, -0.3, 4.0):
        assert si_sdr(x, gain * x_hat + 0.1) == pytest.approx(12, abs=1e-3)


def test_si_sdr_stays_within_its_limits():
    x = noise(1, 4000)
    assert si_sdr(x, 0.5 * x) == 100
    assert si_sdr(x, torch.zeros_like(x)) == -50
    t = torch.arange(4000) * 2 * torch.pi / 40
    assert si_sdr(t.sin().view(1, 1, -1), t.cos().view(1, 1, -1)) == -50


def test_log_mel_distance_equals_librosas(scorer):
    x = speech()
    x_hat = degraded(x)
    mels = [
        librosa.feature.melspectrogram(
            y=w[0, 0].numpy(),
            sr=RATE,
            n_fft=1024,
            hop_length=256,
            n_mels=80,
            power=1.0,
            pad_mode="constant",
        )
        for w in (x, x_hat)
    ]
    floor = mels[0].max() * 1e-4
    a, b = (20 * np.log10(np.maximum(m, floor)) for m in mels)
    assert scorer(x, x_hat)["log_mel_distance"] == pytest.approx(np.abs(a - b).mean(), rel=1e-3)


def test_halving_the_level_is_six_decibels(scorer):
    x = noise(1, 16000, scale=0.2)
    assert scorer(x, x / 2)["log_mel_distance"] == pytest.approx(6.02, abs=0.1)


@pytest.mark.parametrize("gain", [0.1, 1.0, 3.0])
def test_log_mel_distance_does_not_depend_on_the_common_level(scorer, gain):
    x = speech()
    x_hat = degraded(x)
    expected = scorer(x, x_hat)["log_mel_distance"]
    assert scorer(gain * x, gain * x_hat)["log_mel_distance"] == pytest.approx(expected, rel=1e-3)


def test_stoi_and_pesq_are_the_packages_own(scorer):
    x = speech()
    x_hat = degraded(x)
    scores = scorer(x, x_hat)
    a, b = x[0, 0].numpy(), x_hat[0, 0].numpy()
    assert scores["stoi"] == pytest.approx(pystoi.stoi(a, b, RATE))
    assert scores["estoi"] == pytest.approx(pystoi.stoi(a, b, RATE, extended=True))
    assert scores["pesq_wb"] == pytest.approx(pesq.pesq(RATE, a, b, "wb"))
    low = [soxr.resample(w, RATE, 8000, quality="HQ") for w in (a, b)]
    assert scores["pesq_nb"] == pytest.approx(pesq.pesq(8000, *low, "nb"), abs=1e-3)


def test_narrow_band_scores_are_mapped_by_p_862_1(scorer):
    x = speech()
    assert scorer(x, x)["pesq_nb"] == pytest.approx(4.549, abs=1e-3)  # of a raw score of 4.5
    assert scorer(x, x)["pesq_wb"] == pytest.approx(4.644, abs=1e-3)


def test_pystois_noise_leaves_the_global_generator_alone(scorer):
    x = speech()
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.random(2)  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    first, again = (Scorer(RATE, ["estoi"])(x, degraded(x)) for _ in range(2))
    np.testing.assert_array_equal(np.random.random(2), expected)  # noqa: NPY002
    assert first == again


def test_clipping_is_counted_and_not_applied(scorer):
    x = speech()
    x_hat = x.clone()
    x_hat[..., :320] = 1.5
    x_hat[..., 320:640] = -1.0
    scores = scorer(x, x_hat)
    assert scores["clipped"] == pytest.approx(100 * 320 / x.shape[-1])
    assert scores["si_sdr"] < scorer(x, x_hat.clamp(-1, 1))["si_sdr"]


def test_the_level_is_untouched(scorer):
    x = speech()
    for name in ("pesq_wb", "pesq_nb", "log_mel_distance", "stft_distance"):
        quiet = scorer(x, 0.2 * x)[name]
        assert quiet != pytest.approx(scorer(x, x)[name], abs=1e-3) or name.startswith("pesq")


def test_a_silent_reconstruction_gives_what_the_table_says(scorer):
    x = speech()
    scores = scorer(x, torch.zeros_like(x))
    assert scores["si_sdr"] == -50
    assert scores["clipped"] == 0
    assert abs(scores["stoi"]) < 0.1
    assert abs(scores["estoi"]) < 0.1
    assert {scores["pesq_wb"], scores["pesq_nb"]} == {"the reconstruction is silent"}
    assert "silent reconstruction" in EDGES
    for name in ("log_mel_distance", "stoi", "pesq_wb", "f0_*", "wer*"):
        assert name in EDGES


def test_each_measure_tells_better_from_worse(scorer):
    x = speech()
    good, bad = scorer(x, degraded(x, 25)), scorer(x, degraded(x, 0))
    for name in STANDARD:
        if name == "clipped":
            continue
        sign = 1 if METRICS[name].better == "higher" else -1
        assert sign * (good[name] - bad[name]) > 0, name


def test_other_rates():
    for rate in (8000, 24000):
        x = speech(rate=rate)
        scores = Scorer(rate, STANDARD)(x, degraded(x))
        narrow = scores.pop("pesq_wb") if rate == 8000 else ""
        assert narrow == ("sampled at 8000 Hz, below 16000 Hz" if rate == 8000 else "")
        assert all(isinstance(v, float) for v in scores.values()), scores


def test_what_is_not_defined_says_why(scorer):
    silence = torch.zeros(1, 1, RATE)
    assert set(scorer(silence, noise(1, RATE)).values()) == {"the original is silent"}
    short = scorer(speech()[..., :3000], speech(seed=1)[..., :3000])
    assert short["stoi"] == "shorter than 0.4 s"
    assert short["pesq_wb"] == short["pesq_nb"] == "shorter than 0.25 s"
    assert isinstance(short["si_sdr"], float)
    broken = scorer(speech(), speech() * torch.nan)
    assert set(broken.values()) == {"the reconstruction holds NaN or infinity"}


def test_a_click_in_silence_is_too_little_for_stoi(scorer):
    x = torch.zeros(1, 1, RATE)
    x[..., 8000:8100] = noise(1, 100)
    scores = scorer(x, x)
    assert scores["stoi"] == "under 0.4 s of sound"
    assert scores["si_sdr"] == 100


@settings(max_examples=15, deadline=None)
@given(length=st.integers(1, 3000), seed=st.integers(0, 99), silent=st.booleans())
def test_every_score_is_finite_or_a_reason(length, seed, silent):
    cheap = Scorer(RATE, NAMES[:3])
    x = noise(1, length, seed=seed)
    x_hat = torch.zeros_like(x) if silent else noise(1, length, seed=seed + 1)
    for value in cheap(x, x_hat).values():
        assert isinstance(value, str) or np.isfinite(value)


def test_a_missing_package_is_a_note_and_not_an_error(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "pesq" else find(n, *a)
    )
    names, notes = reconstruction.available()
    assert names == [n for n in STANDARD if not n.startswith("pesq")]
    assert notes == [
        f'{n} left out: pesq is not installed (pip install "audiovq[metrics]")'
        for n in ("pesq_wb", "pesq_nb")
    ]


def test_optional_packages_are_imported_only_when_used(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        assert name not in {"pesq", "pystoi", "librosa"}
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    Scorer(RATE, ["si_sdr"])(noise(1, 4000), noise(1, 4000, seed=2))


def test_unknown_measures_are_refused():
    with pytest.raises(ConfigError, match="'mos'; known: log_mel"):
        reconstruction.available(["mos"])
