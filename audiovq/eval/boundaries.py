"""Where units change against where phones change: precision, recall, F1, R-value.

A boundary of the phones is an instant strictly inside the audio where the folded label changes;
an unlabelled stretch counts as a label of its own, unless it is at most 20 ms at either end of the
audio, where alignments stop short. Of the units it is the start of a frame whose unit differs from
the one before. A phone boundary is hit if a unit boundary lies at most 20 ms from it and not beyond
the midpoint to its neighbours; a unit boundary hits at most one. Source: Rasanen, Laine & Altosaar
2009, "An improved speech segmentation quality measure: the R-value".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float64, Int64

from audiovq.eval.intervals import group, jackknife
from audiovq.eval.joint import fitting
from audiovq.eval.labelled import Corpus, Labelled
from audiovq.eval.phones import shifts
from audiovq.eval.unit_values import Figure

TOLERANCE = 0.02  # s
_EPSILON = 1e-9  # s: 20 ms away counts, however the sums are rounded

_FIELDS = {
    "boundary_precision": "precision",
    "boundary_recall": "recall",
    "boundary_f1": "f1",
    "over_segmentation": "over_segmentation",
    "r_value": "r_value",
}
_BESIDE_CHANCE = ("boundary_f1", "r_value")

Times = Float64[np.ndarray, "_"]
Segment = tuple[float, float, str | None]  # s, s, folded label


@dataclass(frozen=True)
class Scores:
    """Boundary scores; a value that has no denominator is 0, but over-segmentation -1."""

    precision: float
    recall: float
    f1: float
    over_segmentation: float
    r_value: float


def segments(utterance: Labelled, folding: dict[str, str | None]) -> list[Segment]:
    """Return an utterance cut where the folded label changes, from 0 to its end.

    What no row covers, and what folding drops, is a segment without label.
    """
    found: list[Segment] = []

    def add(start: float, end: float, label: str | None) -> None:
        if end <= start:
            return
        if found and found[-1][2] == label:
            start = found.pop()[0]
        found.append((start, end, label))

    now = 0.0
    for start, end, label in utterance.phones:
        add(now, start, None)
        add(start, end, folding[label])
        now = max(now, end)
    add(now, utterance.duration, None)
    return found


def _inside(cut: Sequence[Segment]) -> Times:
    """Return where phones change; the slack of an alignment at either end is no phone."""
    starts = [start for start, _, _ in cut[1:]]
    if starts and _is_slack(cut[-1]):
        starts.pop()
    if starts and _is_slack(cut[0]):
        starts.pop(0)
    return np.array(starts, np.float64)


def _is_slack(segment: Segment) -> bool:
    start, end, label = segment
    return label is None and end - start <= TOLERANCE


def unit_boundaries(units: Int64[np.ndarray, "T"], hop: float) -> Times:
    """Return the instants where the unit changes, in s."""
    return (np.flatnonzero(units[1:] != units[:-1]) + 1) * hop


def hits(gold: Times, found: Times, tolerance: float = TOLERANCE) -> int:
    """Return how many of `gold` have one of `found` in their window.

    Args:
        gold: ascending (s).
        found: ascending (s).
        tolerance: how far off (s), that far included; a window ends at the midpoint to the next
            gold boundary, which belongs to the later of the two.
    """
    if not len(gold):
        return 0
    middle = (gold[1:] + gold[:-1]) / 2 - _EPSILON
    low, high = gold - tolerance - _EPSILON, gold + tolerance + _EPSILON
    first = np.searchsorted(found, low, side="left")
    last = np.searchsorted(found, high, side="right")
    edges = np.searchsorted(found, middle, side="left")
    first[1:] = np.maximum(first[1:], edges)
    last[:-1] = np.minimum(last[:-1], edges)
    return int((last > first).sum())


def scores(hit: int, found: int, gold: int) -> Scores:
    """Return the scores of that many hits among boundaries found and true.

    Source: units.md, after Rasanen et al. 2009, eqs. 1 to 5.
    """
    precision, recall = hit / found if found else 0.0, hit / gold if gold else 0.0
    f1 = 2 * precision * recall / (precision + recall) if hit else 0.0
    over = found / gold - 1 if gold else 0.0  # recall / precision - 1, also where nothing is hit
    distance = math.hypot(1 - recall, over)
    off = abs(recall - 1 - over) / math.sqrt(2)
    return Scores(precision, recall, f1, over, 1 - (distance + off) / 2)


def evaluate(corpus: Corpus, *, seed: int = 0) -> list[Figure]:
    """Return boundary scores over all aligned utterances together, and mean segment lengths.

    Empty where phones never change.

    Args:
        corpus: with alignments.
        seed: of the shifts that give chance.
    """
    utterances = corpus.aligned
    folding = dict(corpus.folding)
    cut = [segments(u, folding) for u in utterances]
    gold = [_inside(each) for each in cut]
    if not any(map(len, gold)):
        return []
    hop, units = corpus.coded.hop, [u.units for u in utterances]
    table = _counts(gold, units, hop)
    groups = group([u.speaker for u in utterances])
    index = groups.index % fitting(3)
    by_group = np.zeros((int(index.max()) + 1, 3), np.int64)
    np.add.at(by_group, index, table)
    how = f"jackknife over {len(by_group)} {groups.unit}"
    whole, ends = np.concatenate(units), np.cumsum([u.size for u in units])[:-1]
    shifted = [
        _counts(gold, np.split(np.roll(whole, n), ends), hop).sum(axis=0)
        for n in shifts(whole.size, hop, seed)
    ]
    result = []
    for name, field in _FIELDS.items():
        interval = jackknife(by_group, partial(_score, field=field))[1]
        low, high = interval or (None, None)
        result.append(
            Figure(
                name,
                _score(table.sum(axis=0), field),
                low=low,
                high=high,
                interval=how if interval else "",
                count=sum(map(len, gold)),
                over="boundaries",
            )
        )
        if name in _BESIDE_CHANCE:
            result.append(_chance(f"{name}_shifted", [_score(c, field) for c in shifted]))
    return result + _lengths(utterances, cut)


def _score(counts: Int64[np.ndarray, "3"], field: str) -> float:
    return float(getattr(scores(*(int(c) for c in counts)), field))


def _chance(name: str, draws: Sequence[float]) -> Figure:
    mean = float(np.mean(draws))
    return Figure(name, mean, count=len(draws), over="draws", lowest=min(draws), highest=max(draws))


def _counts(
    gold: Sequence[Times], units: Sequence[Int64[np.ndarray, "_"]], hop: float
) -> Int64[np.ndarray, "U 3"]:
    """Return hits, boundaries of the units, and boundaries of the phones, of each utterance."""
    found = [unit_boundaries(u, hop) for u in units]
    return np.array(
        [(hits(g, f), len(f), len(g)) for g, f in zip(gold, found, strict=True)], np.int64
    )


def _lengths(utterances: Sequence[Labelled], cut: Sequence[Sequence[Segment]]) -> list[Figure]:
    runs = sum(1 + int((u.units[1:] != u.units[:-1]).sum()) for u in utterances)
    frames = sum(u.units.size * u.hop for u in utterances)
    long = [end - start for each in cut for start, end, label in each if label is not None]
    figures = [Figure("unit_segment", 1000 * frames / runs, count=runs, over="runs")]
    if long:
        figures.append(
            Figure("phone_segment", 1000 * float(np.mean(long)), count=len(long), over="phones")
        )
    return figures
