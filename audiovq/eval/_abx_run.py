"""Distances and decisions of many ABX cells, in bounded memory."""

import heapq
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64, Int64
from tqdm import tqdm

from audiovq.eval._abx_cells import Unit, Work
from audiovq.eval._abx_items import Items
from audiovq.eval.dtw import Sequences, dtw
from audiovq.eval.frame_distance import FrameDistance

BLOCK = 1 << 20  # distances looked up at a time: about 120 MiB
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
    """Score the units of several conditions together; pairs they share in a block are warped once.

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
    with tqdm(
        disable=not progress, desc=f"ABX {distance.name}", unit=" warpings", leave=False
    ) as bar:
        units = heapq.merge(*works, key=lambda unit: unit.key)
        for block in _blocks(_pieces(units, tallies)):
            bar.update(_score(block, sequences, which, distance))
    return tallies


@dataclass(frozen=True)
class Piece:
    """Some X of a work, and where the outcome goes.

    Attributes:
        tally: of the condition.
        work: with these X only.
        first: whether they are the work's first.
    """

    tally: Tally
    work: Work
    first: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Number of X, and of the items each is compared with."""
        return len(self.work.x), len(self.work.voice.items)


def _pieces(units: Iterable[Unit], tallies: list[Tally]) -> Iterator[Piece]:
    """Yield the works of all units in pieces of at most a block (or one X)."""
    for unit in units:
        tally = tallies[unit.condition]
        tally.pairs += unit.pairs
        for work in unit.works:
            rows = max(1, BLOCK // len(work.voice.items))
            for start in range(0, len(work.x), rows):
                part = replace(work, x=work.x[start : start + rows])
                yield Piece(tally, part, start == 0)


def _blocks(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    block: list[Piece] = []
    size = 0
    for piece in pieces:
        more = math.prod(piece.shape)
        if block and size + more > BLOCK:
            yield block
            block, size = [], 0
        block.append(piece)
        size += more
    if block:
        yield block


def _score(block: list[Piece], sequences: Sequences, which: Array, distance: FrameDistance) -> int:
    """Add a block to the tallies; return how many pairs of sequences were warped."""
    rows, columns = (which[end] for end in _ends([piece.work for piece in block]))
    far, warped = _look_up(rows, columns, sequences, distance)
    start = 0
    for piece in block:
        stop = start + math.prod(piece.shape)
        row = _decide(piece.work, far[start:stop].reshape(piece.shape))
        start = stop
        if piece.first:
            piece.tally.rows.append(row)
        else:
            piece.tally.rows[-1][4:] += row[4:]  # wins and triples of the same cells
    return warped


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
    rows: Array, columns: Array, sequences: Sequences, distance: FrameDistance
) -> tuple[Float64[np.ndarray, " P"], int]:
    """Return the distance of each pair of sequences, and how many were warped: each one once."""
    number = len(sequences.start)
    keys, place = np.unique(
        np.minimum(rows, columns) * number + np.maximum(rows, columns), return_inverse=True
    )
    first, second = keys // number, keys % number
    different = first != second
    values = np.zeros((2, len(keys)))  # equal sequences are at 0
    values[:, different] = dtw(first[different], second[different], sequences, distance)
    far: Float64[np.ndarray, " P"] = values[(rows > columns).astype(np.int64), place]
    return far, int(different.sum())


def _decide(work: Work, far: Float64[np.ndarray, "X C"]) -> Int64[np.ndarray, "6 L"]:
    """Return the columns of `Cells` for every phone B; far: from each X to the voice's items."""
    voice, within = work.voice, work.speaker_x == work.voice.speaker
    mine = slice(*voice.start[work.place : work.place + 2])
    wins = np.zeros(far.shape[1], dtype=np.int64)
    own = int(np.searchsorted(voice.items[mine], work.x[0]))  # the first X among the A
    for i, row in enumerate(far):
        near = row[mine]
        near = np.sort(np.delete(near, own + i) if within else near)
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
