"""How far a figure can be trusted: 95 % intervals over speakers, or over utterances.

Utterances of one speaker resemble each other, so whole speakers are resampled or left out. With
fewer than five speakers there is nothing to resample, and utterances take their place. Means are
bootstrapped; a resample has fewer distinct codes than the data, so entropy and usage are
jackknifed.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

LEVEL = 0.95
MIN_SPEAKERS = 5  # below this, intervals are over utterances
MIN_GROUPS = 3  # below this, there is no interval
MAX_BLOCKS = 200  # utterances are left out in at most this many blocks
RESAMPLES = 4000

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Groups:
    """Which utterances stand or fall together.

    Attributes:
        index: group of each utterance, from 0.
        unit: what a group is: `speakers` or `utterances`.
    """

    index: Ints
    unit: str

    @property
    def number(self) -> int:
        """How many groups there are."""
        return int(self.index.max(initial=-1)) + 1

    @property
    def blocks(self) -> Ints:
        """The groups, thrown together where there are too many to leave each out in turn."""
        return self.index % MAX_BLOCKS


def group(speakers: Sequence[str | None]) -> Groups:
    """Group utterances by speaker if at least five are known, else each is its own group."""
    distinct = {s: i for i, s in enumerate(dict.fromkeys(speakers))}
    if None in distinct or len(distinct) < MIN_SPEAKERS:
        return Groups(np.arange(len(speakers)), "utterances")
    return Groups(np.array([distinct[s] for s in speakers]), "speakers")


def bootstrap_mean(
    values: Floats, groups: Ints, weights: Floats | None = None, *, seed: int = 0
) -> Interval | None:
    """Return the percentile interval of a mean over utterances, whole groups resampled.

    Source: Efron & Tibshirani 1993, section 13.3; groups resampled as in Davison & Hinkley 1997,
    section 3.8.

    Args:
        values: one per utterance.
        groups: group of each utterance.
        weights: what each utterance weighs in the mean; None: the same.
        seed: of the resampling.

    Returns:
        None with fewer than three groups.
    """
    _, compact = np.unique(groups, return_inverse=True)
    weights = np.ones(len(values)) if weights is None else weights
    sizes = np.bincount(compact, weights=weights)
    sums = np.bincount(compact, weights=values * weights)
    number = len(sizes)
    if number < MIN_GROUPS:
        return None
    rng = np.random.default_rng(seed)
    means: list[Floats] = []
    step = max(1, (1 << 21) // number)  # rows drawn at a time: 16 MiB
    for start in range(0, RESAMPLES, step):
        rows = min(step, RESAMPLES - start)
        drawn = rng.multinomial(number, np.full(number, 1 / number), size=rows)
        means.append((drawn @ sums) / (drawn @ sizes))
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(np.concatenate(means), [tail, 100 - tail])
    return float(low), float(high)


def jackknife(counts: Ints, statistic: Callable[[Ints], float]) -> tuple[float, Interval | None]:
    """Return a statistic of summed counts with its bias removed, and the interval around it.

    Leaves each group out in turn. Source: Efron & Tibshirani 1993, sections 10.5 and 11.2;
    Student's t with one degree less than groups.

    Args:
        counts: groups along the first axis.
        statistic: a function of their sum.

    Returns:
        the corrected statistic, and the interval centred on the *uncorrected* one (so that the
        figure printed lies inside it); None with fewer than three groups.
    """
    total = counts.sum(axis=0)
    value, number = statistic(total), len(counts)
    if number < MIN_GROUPS:
        return value, None
    without = np.array([statistic(total - c) for c in counts])
    corrected = number * value - (number - 1) * float(without.mean())
    error = math.sqrt((number - 1) * float(without.var()))
    reach = student_t(number - 1) * error
    return corrected, (value - reach, value + reach)


def student_t(freedom: int) -> float:
    """Return the two-sided 95 % point of Student's t, within 1 % for two degrees or more.

    Source: Abramowitz & Stegun 1964, 26.7.5.
    """
    if freedom == 2:
        return 4.302653  # exact
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )
