"""A figure with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audiovq.eval.intervals import bootstrap_mean, group

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A figure and how far it can be trusted.

    Attributes:
        low: lower end of the 95 % interval, or of a range; None if there is none.
        high: upper end.
        interval: how the interval was made.
    """

    value: float
    low: float | None = None
    high: float | None = None
    interval: str = ""


def mean_over_speakers(
    values: Floats, speakers: Sequence[str | None], weights: Floats | None = None
) -> Estimate:
    """Return a weighted mean over utterances with its bootstrap interval over speakers.

    Args:
        values: one per utterance.
        speakers: of each; with fewer than five, or an unknown one, the interval is over utterances.
        weights: of each utterance; None: the same.
    """
    groups = group(speakers)
    mean = float(np.average(values, weights=weights))
    if (around := bootstrap_mean(values, groups.index, weights)) is None:
        return Estimate(mean)
    return Estimate(mean, *around, f"bootstrap over {groups.number} {groups.unit}")


def spread(values: Sequence[float], what: str) -> Estimate:
    """Return the mean of a few values, with the lowest and the highest around it."""
    return Estimate(float(np.mean(values)), min(values), max(values), f"range over {what}")
