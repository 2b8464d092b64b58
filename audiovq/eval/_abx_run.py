"""Distances and decisions of many ABX cells, in bounded memory."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64, Int64
from tqdm import tqdm

from audiovq.eval._abx_cells import Unit, Work
from audiovq.eval._abx_items import Items
from audiovq.eval.dtw import Sequences, dtw
from audiovq.eval.frame_distance import FrameDistance

BLOCK = 1 << 22  # distances looked up at a time: about 200 MiB, or one unit if that is more
Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cells:
    """Cells and how they came out.

    Attributes:
        a: phone of A and X.
        b: phone of B.
        speaker: of A and B.
        speaker_x: of X.
        wins: twice the triples in which A was nearer, ties counting once.
        triples: how many (a, b, x) there are.
    """

    a: Int64[np.ndarray, " C"]
    b: Int64[np.ndarray, " C"]
    speaker: Int64[np.ndarray, " C"]
    speaker_x: Int64[np.ndarray, " C"]
    wins: Int64[np.ndarray, " C"]
    triples: Int64[np.ndarray, " C"]

    @property
    def error(self) -> Float64[np.ndarray, " C"]:
        """Share of triples in which B was nearer, ties counting half."""
        share: Array = self.wins / (2 * self.triples)
        return 1 - share


@dataclass
class Tally:
    """What adds up over the blocks of one condition."""

    rows: list[Array] = field(default_factory=list)
    pairs: int = 0

    def cells(self) -> Cells:
        """Return the cells so far."""
        joined = np.concatenate([np.empty((6, 0), np.int64), *self.rows], axis=1)
        return Cells(*joined)


def sequences_of(items: Items, frames: Int64[np.ndarray, " F"]) -> tuple[Sequences, Array]:
    """Return the different sequences among the items, and which each item has."""
    numbers: dict[bytes, int] = {}
    which = np.empty(len(items.start), dtype=np.int64)
    first = []
    for i, (start, length) in enumerate(zip(items.start, items.length, strict=True)):
        name = frames[start : start + length].tobytes()
        if name not in numbers:
            numbers[name] = len(numbers)
            first.append(i)
        which[i] = numbers[name]
    return Sequences(frames, items.start[first], items.length[first]), which


def run(
    works: Sequence[Iterable[Unit]],
    sequences: Sequences,
    which: Array,
    distance: FrameDistance,
    *,
    progress: bool = False,
) -> list[Tally]:
    """Score the units of several conditions together; pairs they share are warped once.

    Args:
        works: units of each condition, in order.
        sequences: the different sequences.
        which: sequence of each item.
        distance: between frames.
        progress: show a progress bar on stderr.

    Returns:
        what came out, for each condition.
    """
    tallies = [Tally() for _ in works]
    with tqdm(disable=not progress, desc=f"ABX {distance.name}", unit=" warpings") as bar:
        for block in _blocks(heapq.merge(*works, key=lambda unit: unit.key)):
            flat = [(tallies[unit.condition], work) for unit in block for work in unit.works]
            for tally in tallies:
                tally.pairs += _count_pairs([w for t, w in flat if t is tally], len(which))
            distances, warped = _look_up([w for _, w in flat], sequences, which, distance)
            for (tally, work), far in zip(flat, distances, strict=True):
                tally.rows.append(_decide(work, far))
            bar.update(warped)
    return tallies


def _blocks(units: Iterable[Unit]) -> Iterator[list[Unit]]:
    block: list[Unit] = []
    size = 0
    for unit in units:
        more = sum(len(w.x) * len(w.voice.items) for w in unit.works)
        if block and size + more > BLOCK:
            yield block
            block, size = [], 0
        block.append(unit)
        size += more
    if block:
        yield block


def _count_pairs(works: list[Work], items: int) -> int:
    """Return how many different pairs of items are compared (a pair is in one unit only)."""
    if not works:
        return 0
    one, other = _ends(works)
    different = one != other
    low, high = np.minimum(one, other)[different], np.maximum(one, other)[different]
    keys = np.sort(low * items + high)  # np.unique hashes, which is slower for this many
    return len(keys[:1]) + int(np.count_nonzero(np.diff(keys)))


def _ends(works: list[Work]) -> tuple[Array, Array]:
    """Return the items of all comparisons, row and column of the cost matrix.

    X is the row, as in fastabx; among the items of one cell that are A and X, the earlier is.
    """
    rows, columns = [], []
    for work in works:
        row, column = (z.copy() for z in np.broadcast_arrays(work.x[:, None], work.voice.items))
        if work.speaker_x == work.voice.speaker:
            mine = slice(*work.voice.start[work.place : work.place + 2])
            one, other = row[:, mine].copy(), column[:, mine].copy()
            row[:, mine], column[:, mine] = np.minimum(one, other), np.maximum(one, other)
        rows.append(row.ravel())
        columns.append(column.ravel())
    return np.concatenate(rows), np.concatenate(columns)


def _look_up(
    works: list[Work], sequences: Sequences, which: Array, distance: FrameDistance
) -> tuple[list[Float64[np.ndarray, "X C"]], int]:
    """Return the distances that each work needs; each pair of sequences is warped once."""
    rows, columns = (which[end] for end in _ends(works))
    number = len(sequences.start)
    keys, place = np.unique(
        np.minimum(rows, columns) * number + np.maximum(rows, columns), return_inverse=True
    )
    first, second = keys // number, keys % number
    different = first != second
    values = np.zeros((2, len(keys)))  # equal sequences are at 0
    values[:, different] = dtw(first[different], second[different], sequences, distance)
    far = values[(rows > columns).astype(np.int64), place]
    sizes = [len(w.x) * len(w.voice.items) for w in works]
    parts = np.split(far, np.cumsum(sizes)[:-1])
    shaped = [p.reshape(len(w.x), -1) for p, w in zip(parts, works, strict=True)]
    return shaped, int(different.sum())


def _decide(work: Work, far: Float64[np.ndarray, "X C"]) -> Int64[np.ndarray, "6 L"]:
    """Return the columns of `Cells` for every phone B; far: from each X to the voice's items."""
    voice, within = work.voice, work.speaker_x == work.voice.speaker
    mine = slice(*voice.start[work.place : work.place + 2])
    wins = np.zeros(far.shape[1], dtype=np.int64)
    for i, row in enumerate(far):
        near = row[mine]
        near = np.sort(np.delete(near, i) if within else near)
        # how many A are nearer than each B, and how many are nearer or as near
        wins += np.searchsorted(near, row, "left") + np.searchsorted(near, row, "right")
    others = np.arange(len(voice.phones)) != work.place
    number_a = mine.stop - mine.start - within
    result = np.empty((6, int(others.sum())), dtype=np.int64)
    result[0], result[1] = voice.phones[work.place], voice.phones[others]
    result[2], result[3] = voice.speaker, work.speaker_x
    result[4] = np.add.reduceat(wins, voice.start[:-1])[others]
    result[5] = len(work.x) * number_a * np.diff(voice.start)[others]
    return result
