"""Dynamic time warping of one sequence of vectors against many."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.floating]
Distances = npt.NDArray[np.float32]


def dtw_distances(items: Sequence[Frames]) -> Distances:
    """Return the warped distances (N, N) of all pairs, 0 on the diagonal.

    The least sum of Euclidean distances along a path of steps (1, 0), (0, 1) and (1, 1), divided
    by the number of frames of both.

    Args:
        items: (T, D) each, T at least 1.
    """
    lengths = np.array([len(x) for x in items])
    padded = np.zeros((len(items), int(lengths.max()), items[0].shape[1]), np.float32)
    for i, x in enumerate(items):
        padded[i, : len(x)] = x
    found = np.zeros((len(items), len(items)), np.float32)
    for i, x in enumerate(items[:-1]):
        row = _against(x.astype(np.float32), padded[i + 1 :], lengths[i + 1 :])
        found[i, i + 1 :] = found[i + 1 :, i] = row
    return found


def _against(x: Frames, others: Distances, lengths: npt.NDArray[np.int64]) -> Distances:
    """Return the warped distance of one sequence to each of the others, diagonal by diagonal."""
    size, (number, longest, _) = len(x), others.shape
    skewed = np.full((size + longest - 1, size, number), np.inf, np.float32)
    square = (others**2).sum(-1).T
    for i, frame in enumerate(x):  # cell (i, j) lies on diagonal i + j
        cost = square - 2 * (others @ frame).T + (frame @ frame)
        skewed[i : i + longest, i] = np.sqrt(np.maximum(cost, 0))
    before = np.full((size + 1, number), np.inf, np.float32)  # row 0 is the edge
    last, ends = before.copy(), np.empty((size + longest - 1, number), np.float32)
    before[0] = 0  # the path starts at (0, 0)
    for k, cost in enumerate(skewed):
        new = np.full_like(last, np.inf)
        new[1:] = cost + np.minimum(np.minimum(last[1:], last[:-1]), before[:-1])
        before, last = last, new
        ends[k] = new[-1]
    total = ends[size - 2 + lengths, np.arange(number)]
    return np.asarray(total / (size + lengths), np.float32)
