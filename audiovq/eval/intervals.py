"""How far a figure could be off: intervals over speakers, or over utterances when they are few.

Utterances of one speaker resemble each other, so they are resampled together. A mean is
bootstrapped; an entropy or a usage is biased under resampling with replacement (a resample has
fewer distinct codes), so those are jackknifed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
MIN_GROUPS = 5  # fewer speakers than this say little about speakers


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval.

    Attributes:
        over: what was resampled: "speakers" or "utterances".
    """

    value: float
    low: float
    high: float
    over: str


def groups(speakers: Sequence[str | None]) -> tuple[npt.NDArray[np.int64], str]:
    """Return the group of each utterance, and what the groups are."""
    known = {s for s in speakers if s is not None}
    if None in speakers or len(known) < MIN_GROUPS:
        return np.arange(len(speakers)), "utterances"
    names = sorted(known)
    return np.array([names.index(s) for s in speakers if s is not None]), "speakers"


def bootstrap_mean(
    values: Values, speakers: Sequence[str | None], *, draws: int = 2000, seed: int = 0
) -> Interval:
    """Return the mean over utterances with its percentile bootstrap interval (2.5 to 97.5 %).

    Args:
        values: one per utterance.
        speakers: who speaks each.
        draws: resamples.
        seed: decides them.
    """
    group, over = groups(speakers)
    n = int(group.max()) + 1
    sums = np.bincount(group, values, n)
    counts = np.bincount(group, minlength=n)
    index = np.random.default_rng(seed).integers(n, size=(draws, n))
    means = sums[index].sum(axis=1) / counts[index].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(values.mean()), float(low), float(high), over)


def jackknife(
    counts: npt.NDArray[np.int64],
    speakers: Sequence[str | None],
    statistic: Callable[[npt.NDArray[np.int64]], float],
) -> Interval:
    """Return a statistic of summed counts with its jackknife interval (1.96 standard errors).

    Args:
        counts: one row per utterance.
        speakers: who speaks each.
        statistic: function of a row of summed counts.
    """
    group, over = groups(speakers)
    n = int(group.max()) + 1
    grouped = np.zeros((n, counts.shape[1]), np.int64)
    np.add.at(grouped, group, counts)
    total = grouped.sum(axis=0)
    value = statistic(total)
    if n < 2:
        return Interval(value, value, value, over)
    left_out = np.array([statistic(total - row) for row in grouped])
    error = float(np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum()))
    return Interval(value, value - 1.96 * error, value + 1.96 * error, over)
