"""Fundamental frequency of an original and of its reconstruction, by one tracker for both.

The tracker is librosa's pYIN (extra `metrics`), searched from 60 to 500 Hz in windows of 64 ms
every 10 ms: it decides which frames are voiced, and the octave, on a grid of 20 cents; librosa's
YIN in the same windows gives the value between the points of the grid. Speech outside 60 to 500 Hz
(some children, creaky voice) counts as unvoiced or is found an octave off.
"""

import contextlib
import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from torch import Tensor

from audiovq.alone import in_turn
from audiovq.eval.undefined import Undefined

RANGE = (60.0, 500.0)  # Hz
WINDOW_SECONDS, STEP_SECONDS = 0.064, 0.01  # nearly four periods of the lowest pitch
GRID = 0.2  # semitones; pYIN's cost grows with its inverse squared
GROSS = 0.2  # share of the original's pitch; Chu & Alwan 2009
NAMES = ("f0_rmse", "f0_median_error", "f0_gross_error", "voicing_error")

_NEAR = 50.0  # cents: YIN found the same period as pYIN


@dataclass(frozen=True)
class Track:
    """Pitch in frames of 10 ms.

    Attributes:
        hertz: NaN where unvoiced.
    """

    hertz: npt.NDArray[np.float64]

    @property
    def voiced(self) -> npt.NDArray[np.bool_]:
        """Which frames are voiced."""
        return np.isfinite(self.hertz)


def track(x: Float[Tensor, "1 1 L"], sample_rate: int) -> Track:
    """Return the pitch of a waveform.

    Source: Mauch & Dixon 2014 (pYIN); de Cheveigne & Kawahara 2002 (YIN).
    """
    librosa = _tracker()
    window = 2 ** round(np.log2(WINDOW_SECONDS * sample_rate))
    common = {
        "fmin": RANGE[0],
        "fmax": RANGE[1],
        "sr": sample_rate,
        "frame_length": window,
        "hop_length": round(STEP_SECONDS * sample_rate),
    }
    samples = x[0, 0].double().numpy()
    coarse, voiced, _ = librosa.pyin(samples, resolution=GRID, **common)
    fine = librosa.yin(samples, **common)
    hertz = np.where(np.abs(cents(fine, coarse)) < _NEAR, fine, coarse)
    return Track(np.where(voiced, hertz, np.nan))


@functools.cache
def _tracker() -> Any:
    """Return librosa, compiled.

    Numba keeps what it compiled in files that several processes, compiling at the same time, can
    leave such that every later one crashes: one after the other they cannot.
    """
    spec = importlib.util.find_spec("librosa")
    folders = [Path(f) for f in (spec and spec.submodule_search_locations) or []]
    with in_turn(folders[0]) if folders else contextlib.nullcontext():
        import librosa  # noqa: PLC0415  (optional, and slow to import)

        tone = np.sin(np.arange(4096) * 0.1)
        librosa.pyin(tone, fmin=RANGE[0], fmax=RANGE[1], sr=16000)
        return librosa


def errors(original: Track, reconstruction: Track) -> dict[str, float | str]:
    """Return every measure of `NAMES`, or why there is none.

    RMSE and median are over frames voiced in both, gross errors included.
    """
    both = original.voiced & reconstruction.voiced
    found: dict[str, float | str] = {
        "voicing_error": float(100 * np.mean(original.voiced != reconstruction.voiced))
    }
    if not both.any():
        why = "no frame is voiced in both" if original.voiced.any() else "the original is unvoiced"
        return {**dict.fromkeys(NAMES, why), **found}
    f, f_hat = original.hertz[both], reconstruction.hertz[both]
    off = np.abs(cents(f_hat, f))
    return {
        "f0_rmse": float(np.sqrt(np.mean(off**2))),
        "f0_median_error": float(np.median(off)),
        "f0_gross_error": float(100 * np.mean(np.abs(f_hat / f - 1) > GROSS)),
        **found,
    }


def cents(f_hat: npt.NDArray[np.float64], f: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return how far one pitch lies above another, in hundredths of a semitone."""
    return np.asarray(1200 * np.log2(f_hat / f))


def defined(name: str, found: dict[str, float | str]) -> float:
    """Return one of `errors`.

    Raises:
        Undefined: it has no value.
    """
    if isinstance(value := found[name], str):
        raise Undefined(value)
    return value
