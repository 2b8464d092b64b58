"""Dynamic time warping of many pairs of short sequences at once, exactly.

The step pattern and the normalisation are those of torchdtw, which fastabx uses: steps (1, 1),
(0, 1) and (1, 0) of equal weight, first and last frames joined, and the least cost divided by the
number of cells on its path. Where several paths cost the same, the path is followed from the end,
preferring (1, 1), then (0, 1), then (1, 0); so where there are ties, which sequence is the row
matters, and both values are returned.

Frame distances are integers (multiples of a grid, see `frame_distance`), so sums do not depend on
their order and equal costs are equal: results are the same however the pairs are batched.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64, Int64

from audiovq.eval.frame_distance import RESOLUTION, FrameDistance

CELLS = 1 << 18  # frame distances held at a time: 2 MiB, near what caches hold
INFINITY = np.int64(1 << 62)
Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sequences:
    """Sequences of frames, one after another.

    Attributes:
        frames: number of each frame in a dictionary of frames.
        start: where each sequence starts in `frames`.
        length: frames of each sequence, at least 1.
    """

    frames: Int64[np.ndarray, " F"]
    start: Int64[np.ndarray, " S"]
    length: Int64[np.ndarray, " S"]

    def padded(self, which: Int64[np.ndarray, " P"]) -> Int64[np.ndarray, "T P"]:
        """Return some sequences as columns, their last frame repeated."""
        time = np.arange(self.length[which].max())[:, None]
        place = self.start[which] + np.minimum(time, self.length[which] - 1)
        columns: Array = self.frames.take(place)
        return columns


def dtw(
    first: Int64[np.ndarray, " P"],
    second: Int64[np.ndarray, " P"],
    sequences: Sequences,
    distance: FrameDistance,
) -> Float64[np.ndarray, "2 P"]:
    """Return the normalised distance of each pair, in the unit of the frame distance.

    Args:
        first: numbers of sequences.
        second: numbers of the sequences they are compared with.
        sequences: the sequences.
        distance: between frames.

    Returns:
        two rows: with `first` as the rows of the cost matrix, and with `second` as its rows. They
        differ only where several paths have the least cost.
    """
    swap = sequences.length[first] > sequences.length[second]
    short, long = np.where(swap, second, first), np.where(swap, first, second)
    rows, columns = sequences.length[short], sequences.length[long]
    result = np.empty((2, len(first)))
    order = np.lexsort((-columns, rows))
    for start, stop in _chunks(rows[order], columns[order]):
        here = order[start:stop]
        cost = distance.pairwise(sequences.padded(short[here]), sequences.padded(long[here]))
        result[:, here] = _sweep(cost, columns[here])
    result[:, swap] = result[::-1, swap]
    return result * distance.grid


def _chunks(rows: Array, columns: Array) -> list[tuple[int, int]]:
    """Cut pairs (sorted by rows, then by columns from long to short) to one number of rows each."""
    chunks, start = [], 0
    while start < len(rows):
        most = max(1, CELLS // int(rows[start] * columns[start]))
        stop = int(np.searchsorted(rows, rows[start], side="right"))
        chunks.append((start, min(stop, start + most)))
        start = chunks[-1][1]
    return chunks


def _sweep(
    cost: Int64[np.ndarray, "M N P"], columns: Int64[np.ndarray, " P"]
) -> Float64[np.ndarray, "2 P"]:
    """Fill all cost matrices diagonal by diagonal; a pair leaves when its last column is done.

    A cell is one integer: the cost above, two bits for the step's rank, the path's length below.
    The minimum of three such integers is the step that following the path backwards would take.

    Args:
        cost: frame distances, the same number of rows for all pairs.
        columns: how many columns each pair has, from many to few.
    """
    M, N, P = cost.shape
    bits = length_bits(M + N)
    flat = ((cost << (bits + 2)) | 1).reshape(M * N, P)
    rank = np.array([1, 2], dtype=np.int64).reshape(2, 1, 1) << bits
    keep = ~(np.int64(3) << bits)
    # cells by row, after a border above; along three diagonals in turn
    older, last, now = (np.full((2, M + 1, P), INFINITY) for _ in range(3))
    older[:, 0] = 0  # what the first cell continues
    ends = np.empty((2, P), dtype=np.int64)
    active = P
    for k in range(M + N - 1):
        low, high = max(0, k - N + 1), min(M, k + 1)
        left, up = last[:, low + 1 : high + 1, :active], last[:, low:high, :active]
        cell = np.add(left, rank, out=now[:, low + 1 : high + 1, :active])
        np.minimum(cell, up + rank[::-1], out=cell)
        np.minimum(cell, older[:, low:high, :active], out=cell)
        cell &= keep
        # cell (i, k - i) is at i * (N - 1) + k
        first, step = low * (N - 1) + k, max(1, N - 1)
        cell += flat[first : (high - 1) * (N - 1) + k + 1 : step, :active]
        older[:, 0] = INFINITY
        rest = int(np.searchsorted(-columns, M - k - 2, side="left"))  # more columns than k - M + 2
        if k >= M - 1:
            ends[:, rest:active] = now[:, M, rest:active]
            active = rest
        older, last, now = last, now, older
    return (ends >> (bits + 2)) / (ends & ((1 << bits) - 1))


def length_bits(frames: int) -> int:
    """Return the bits that a path through that many frames, rows and columns together, needs.

    What is left must hold the sum of frame distances of up to 2^RESOLUTION each.
    """
    bits = max(frames.bit_length(), 12)
    assert RESOLUTION + 2 * bits + 2 <= 62, f"sequences of {frames} frames together are too long"
    return bits
