"""Whether the halves of a recording find each other among many speakers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from audiovq.errors import ConfigError
from audiovq.eval.estimate import Estimate, Floats, mean_over_speakers
from audiovq.eval.intervals import LEVEL, MIN_SPEAKERS
from audiovq.eval.probes._base import Frames, Ints, Units, checked
from audiovq.eval.probes._features import cut, histograms

RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class Verification:
    """How well halves of recordings are matched.

    Attributes:
        eer: equal error rate in [0, 1]; None where there is no figure.
        rank1: share of halves whose most similar other half is their own recording's.
        mfcc_eer: the same of MFCC frames; None where none were given.
        mfcc_rank1: likewise.
        chance_eer: of scores that say nothing.
        chance_rank1: likewise.
        speakers: one recording each.
        left_out: speakers over the limit, or without a recording of two frames.
        reason: why there is no figure.
    """

    eer: Estimate | None = None
    rank1: Estimate | None = None
    mfcc_eer: Estimate | None = None
    mfcc_rank1: Estimate | None = None
    chance_eer: float = 0.5
    chance_rank1: float | None = None
    speakers: int = 0
    left_out: int = 0
    reason: str = ""


def verification(
    units: Sequence[Units],
    speakers: Sequence[str | None],
    *,
    sizes: Sequence[int],
    mfcc: Frames | None = None,
    most_speakers: int = 1000,
    seed: int = 0,
) -> Verification:
    """Return how well the two halves of one recording per speaker are matched.

    Each speaker's longest recording is cut in the middle. Every first half is compared with every
    second half: as many targets as speakers, all other pairs are impostors. Similarity is the
    cosine of the (square roots of the) shares of each unit, the mean over all halves subtracted.
    The halves share the channel, the session and the topic: the figure is about all of them
    together with the voice.

    The ceiling compares means of MFCC frames likewise, after whitening by the covariance within
    halves (no speaker's name is used).

    Args:
        units: of each utterance, (T,) or (K, T).
        speakers: of each; None: unknown, left out.
        sizes: codebook size of each row.
        mfcc: frames (T, D) of the utterance at a place of the list.
        most_speakers: beyond it, this many are drawn.
        seed: of draw and bootstrap.

    Returns:
        both figures with intervals over speakers; a reason, where there are fewer than two.

    Raises:
        ConfigError: lengths or units do not fit.
    """
    rows = checked(units, sizes, speakers=speakers)
    rng = np.random.default_rng(seed)
    places = _longest(rows, speakers)
    number = len({s for s in speakers if s is not None})
    if len(places) > most_speakers:
        places = sorted(rng.choice(places, most_speakers, replace=False).tolist())
    used = Verification(speakers=len(places), left_out=number - len(places))
    if len(places) < 2:
        reason = f"{len(places)} speakers have a recording of two frames; it takes 2"
        return replace(used, reason=reason)
    halves = [cut(rows[i].T, 2) for i in places]
    every = [half.T for k in range(2) for half in (h[k] for h in halves)]
    scores = _similarity(histograms(every, sizes))
    eer, rank1 = _figures(scores, seed)
    beside = (None, None) if mfcc is None else _figures(_ceiling(mfcc, places), seed)
    return replace(
        used,
        eer=eer,
        rank1=rank1,
        mfcc_eer=beside[0],
        mfcc_rank1=beside[1],
        chance_rank1=1 / len(places),
    )


def equal_error_rate(
    targets: Sequence[float] | Floats, impostors: Sequence[float] | Floats
) -> float:
    """Return the rate at which as many targets are refused as impostors accepted, in [0, 1].

    Between thresholds the rates are interpolated along a straight line, also through scores that
    targets and impostors share: scores that say nothing give 0.5.

    Args:
        targets: scores of pairs that belong together; higher is more alike.
        impostors: scores of the other pairs.

    Raises:
        ConfigError: one of them is empty.
    """
    if not len(targets) or not len(impostors):
        raise ConfigError("an equal error rate needs at least one target and one impostor score")
    scores = np.concatenate([np.asarray(targets, np.float64), np.asarray(impostors, np.float64)])
    is_target = np.arange(len(scores)) < len(targets)
    return _Ranking(scores, is_target).rate(np.ones(len(scores)))


class _Ranking:
    """Scores in falling order, so that weights can change cheaply."""

    def __init__(self, scores: Floats, is_target: npt.NDArray[np.bool_]) -> None:
        self.order = np.argsort(-scores, kind="stable")
        falling = scores[self.order]
        self.ends = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)  # of ties
        self.is_target = is_target[self.order]

    def rate(self, weights: Floats) -> float:
        """Return the equal error rate where a score counts as much as its weight."""
        w = weights[self.order]
        hit = np.append(0.0, np.cumsum(w * self.is_target)[self.ends])
        alarm = np.append(0.0, np.cumsum(w * ~self.is_target)[self.ends])
        missed, alarm = 1 - hit / hit[-1], alarm / alarm[-1]
        k = int(np.argmax(alarm >= missed))  # the first threshold past the crossing, at least 1
        before, after = missed[k - 1] - alarm[k - 1], alarm[k] - missed[k]
        return float(alarm[k - 1] + (alarm[k] - alarm[k - 1]) * before / (before + after))


def _longest(rows: Sequence[Ints], speakers: Sequence[str | None]) -> list[int]:
    """Return the place of each speaker's longest recording, the first of equals."""
    best: dict[str, int] = {}
    for i, speaker in enumerate(speakers):
        size = rows[i].shape[1]
        if speaker is not None and size >= 2:
            known = best.get(speaker)
            if known is None or size > rows[known].shape[1]:
                best[speaker] = i
    return sorted(best.values())


def _similarity(vectors: Floats) -> Floats:
    """Return centred cosines (S, S) of the first S vectors with the second S."""
    centred = vectors - vectors.mean(axis=0)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    # what is left of a constant by rounding has a direction, but says nothing
    centred = np.where(length > 1e-9, centred / np.maximum(length, 1e-9), 0)
    number = len(vectors) // 2
    # equal halves must score equally, to the last bit, whatever the order of summation
    return np.round(centred[:number] @ centred[number:].T, 12)


def _ceiling(mfcc: Frames, places: Sequence[int]) -> Floats:
    halves = [cut(mfcc(i).astype(np.float64), 2) for i in places]
    every = [half for k in range(2) for half in (h[k] for h in halves)]
    means = np.stack([half.mean(axis=0) for half in every])
    deviations = [half - mean for half, mean in zip(every, means, strict=True)]
    within = sum(d.T @ d for d in deviations) / sum(len(d) for d in deviations)
    within = within + np.eye(len(within)) * (1e-6 * np.trace(within) / len(within) + 1e-12)
    return _similarity(means @ np.linalg.cholesky(np.linalg.inv(within)))


def _figures(scores: Floats, seed: int) -> tuple[Estimate, Estimate]:
    """Return equal error rate and rank-1 of scores (S, S), targets on the diagonal."""
    number = len(scores)
    ranking = _Ranking(scores.ravel(), np.eye(number, dtype=np.bool_).ravel())
    eer = ranking.rate(np.ones(scores.size))
    own = np.diag(scores)
    found = np.zeros(number)
    for rows in (scores, scores.T):  # ties are shared out
        top = rows.max(axis=1)
        found += np.where(own == top, 1 / (rows == top[:, None]).sum(axis=1), 0) / 2
    rank1 = mean_over_speakers(found, [str(i) for i in range(number)])
    if number < MIN_SPEAKERS:
        return Estimate(eer), Estimate(rank1.value)
    around = _resampled(ranking, number, seed)
    return Estimate(eer, *around, f"bootstrap over {number} speakers"), rank1


def _resampled(ranking: _Ranking, number: int, seed: int) -> tuple[float, float]:
    """Return the interval over speakers: a pair counts as often as both of its speakers are drawn.

    A speaker drawn twice is never an impostor of itself (Bolle et al. 2004, "Error analysis of
    pattern recognition systems - the subsets bootstrap", for why whole speakers are drawn).
    """
    rng = np.random.default_rng(seed)
    rates = []
    for _ in range(RESAMPLES):
        drawn = rng.multinomial(number, np.full(number, 1 / number)).astype(np.float64)
        weights = np.outer(drawn, drawn)
        np.fill_diagonal(weights, drawn)
        rates.append(ranking.rate(weights.ravel()))
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(rates, [tail, 100 - tail])
    return float(low), float(high)
