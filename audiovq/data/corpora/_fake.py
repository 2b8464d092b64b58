"""Made-up speech for tests: buzzing, hissing and silent stretches with formants, in numpy."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from audiovq import audio

_VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480))  # Hz


def speech(seconds: float, seed: int, sample_rate: int = 16000) -> npt.NDArray[np.float32]:
    """Return seconds of something between speech and noise; the seed's tens decide the voice."""
    rng = np.random.default_rng(seed)
    pitch = 90.0 + 25.0 * ((seed // 10) % 6)
    out: list[npt.NDArray[np.float64]] = []
    left = round(seconds * sample_rate)
    while left > 0:
        size = min(left, int(rng.uniform(0.06, 0.2) * sample_rate))
        kind = rng.choice(["vowel", "vowel", "hiss", "pause"])
        out.append(_stretch(kind, size, pitch, rng, sample_rate))
        left -= size
    x = np.concatenate(out)
    x = x / (np.abs(x).max() + 1e-9) * 0.5 + rng.normal(0, 1e-3, len(x))
    return np.asarray(x, np.float32)


def _stretch(
    kind: str, size: int, pitch: float, rng: np.random.Generator, sample_rate: int
) -> npt.NDArray[np.float64]:
    envelope = np.hanning(size + 2)[1:-1] ** 0.3
    if kind == "pause":
        return np.zeros(size)
    if kind == "hiss":
        noise = rng.normal(0, 0.1, size)
        return envelope * np.diff(noise, prepend=0.0)
    glide = pitch * (1 + 0.1 * np.linspace(-1, 1, size) * rng.normal())
    x = 2.0 * (np.cumsum(glide / sample_rate) % 1.0) - 1.0
    frequencies = np.fft.rfftfreq(size, 1 / sample_rate)
    response = np.full(len(frequencies), 0.1)
    for formant in _VOWELS[rng.integers(len(_VOWELS))]:
        response += np.exp(-(((frequencies - formant) / 100.0) ** 2))
    x = np.fft.irfft(np.fft.rfft(x) * response, size)
    return np.asarray(envelope * x)


def write(path: Path, seconds: float, seed: int, sample_rate: int = 16000) -> int:
    """Write made-up speech to a file, making its folder; returns the number of samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    x = speech(seconds, seed, sample_rate)
    audio.save(path, torch.from_numpy(x), sample_rate)
    return len(x)
