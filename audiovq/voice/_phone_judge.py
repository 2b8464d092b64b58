"""Which phone is said in each frame, by a classifier of MFCC frames of labelled speech.

It knows nothing of any model's codes, so it can say whether a converted recording says the same.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from audiovq.data.manifest import Manifest, Record
from audiovq.errors import ConfigError
from audiovq.eval import folding
from audiovq.units.features.mfcc import MFCCFeatures

HOP = 0.01  # s
_AROUND = (-6, -4, -2, 2, 4, 6)  # frames whose cepstra are looked at besides a frame's own
_CEPSTRA = 13
UNKNOWN = ""  # of a frame without label, or with one that is dropped

Frames = Float[np.ndarray, "T D"]


class Looker:
    """Waveforms to frames with their surroundings, each utterance standardised by itself.

    Args:
        sample_rate: of the waveforms (Hz).
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate, self.hop = sample_rate, round(HOP * sample_rate)
        self.features = MFCCFeatures(sample_rate, self.hop)

    def __call__(self, x: Float[Tensor, "1 1 L"]) -> Frames:
        """Return the frames of a waveform, one every 10 ms."""
        y = torch.cat(list(self.features.blocks([x]))).numpy()
        y = (y - y.mean(axis=0)) / (y.std(axis=0) + 1e-3)
        reach = max(_AROUND)
        wide = np.pad(y[:, :_CEPSTRA], ((reach, reach), (0, 0)), mode="edge")
        beside = [wide[reach + k : reach + k + len(y)] for k in _AROUND]
        found: np.ndarray = np.concatenate([y, *beside], axis=1)
        return found

    def labels(self, record: Record, frames: int, tier: str = "phones") -> np.ndarray:
        """Return the folded phone at the middle of each frame of a record."""
        found = np.full(frames, UNKNOWN, dtype=object)
        rows = (record.alignment or {}).get(tier, ())
        same = folding.table({label for _, _, label in rows})
        size = record.sample_rate * HOP
        for start, end, label in rows:
            first, last = (math.ceil(edge / size - 0.5) for edge in (start, end))
            found[max(0, first) : max(0, last)] = same[label] or UNKNOWN
        return found


class PhoneJudge:
    """Linear discriminant analysis of frames.

    Args:
        frames: of each utterance.
        labels: of each of its frames; those that are unknown are left out.
    """

    def __init__(self, frames: Sequence[Frames], labels: Sequence[np.ndarray]) -> None:
        from sklearn.discriminant_analysis import (  # noqa: PLC0415  (optional, slow to import)
            LinearDiscriminantAnalysis,
        )

        x, y = np.concatenate(frames), np.concatenate(labels).astype(str)
        known = y != UNKNOWN
        self._model: Any = LinearDiscriminantAnalysis().fit(x[known], y[known])

    def __call__(self, frames: Frames) -> np.ndarray:
        """Return the phone of each frame."""
        found: np.ndarray = self._model.predict(frames)
        return found


def agreement(a: np.ndarray, b: np.ndarray) -> float | None:
    """Return the share of frames of which both say the same, where `a` says a phone.

    None where `a` says none at all.
    """
    said = (a != folding.SILENCE) & (a != UNKNOWN)
    return float((a == b)[said].mean()) if said.any() else None


def aligned_records(manifest: Manifest, tier: str = "phones") -> list[Record]:
    """Return the records that have phone times.

    Raises:
        ConfigError: fewer than two speakers have some.
    """
    found = [r for r in manifest.records if (r.alignment or {}).get(tier)]
    if len({r.speaker for r in found}) < 2:
        raise ConfigError(
            f"{manifest.path}: phone times of two speakers or more are needed to tell phones, as "
            f"`audiovq prepare timit` writes them; {len(found)} records have some"
        )
    return found


def counts(labels: Sequence[np.ndarray]) -> Int64[np.ndarray, "P"]:
    """Return how often each phone occurs."""
    every = np.concatenate(labels)
    every = every[(every != folding.SILENCE) & (every != UNKNOWN)]
    found: np.ndarray = np.unique(every.astype(str), return_counts=True)[1].astype(np.int64)
    return found
