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

    def scaled(self, by: float, add: float = 0.0) -> "Estimate":
        """Return the figure times a number, plus another; ends change places under a minus."""
        value = by * self.value + add
        if self.low is None or self.high is None:
            return Estimate(value, None, None, self.interval)
        low, high = sorted((by * self.low + add, by * self.high + add))
        return Estimate(value, low, high, self.interval)

    def text(self, digits: int, sign: str = "") -> str:
        """Return the figure and its interval in brackets; `sign="+"` writes a plus, too."""
        shown = f"{self.value:{sign},.{digits}f}"
        if self.low is None or self.high is None:
            return shown
        return f"{shown} [{self.low:{sign},.{digits}f}, {self.high:{sign},.{digits}f}]"


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


def ratio_over_speakers(over: Floats, under: Floats, speakers: Sequence[str | None]) -> Estimate:
    """Return the ratio of two sums over utterances; both are of the same resampled speakers.

    Args:
        over: of each utterance, what is added up above the line.
        under: below it; positive.
        speakers: as in `mean_over_speakers`.
    """
    return mean_over_speakers(over / under, speakers, under)


def spread(values: Sequence[float], what: str) -> Estimate:
    """Return the mean of a few values, with the lowest and the highest around it."""
    return Estimate(float(np.mean(values)), min(values), max(values), f"range over {what}")


def how(estimates: Sequence[Estimate]) -> str:
    """Return the line under a table that says what its brackets are."""
    shown = ", ".join(dict.fromkeys(e.interval for e in estimates if e.interval))
    return f"in brackets: 95 % intervals; {shown}" if shown else "too few for intervals"
