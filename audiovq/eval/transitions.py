"""Which code follows which: counts, how far they are from chance, and an order that shows it."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float64, Int64

Codes = Int64[np.ndarray, "_"]


def commonest(counts: Int64[np.ndarray, "N"], most: int) -> Codes:
    """Return the codes that occur, the commonest of them, by number."""
    ranked = np.argsort(-counts, kind="stable")[:most]
    found: np.ndarray = np.sort(ranked[counts[ranked] > 0])
    return found


def count(rows: Iterable[Codes], codes: Codes, size: int) -> Int64[np.ndarray, "M1 M1"]:
    """Count pairs of neighbours.

    Args:
        rows: of codes, one per utterance; a pair never spans two.
        codes: the M codes to tell apart; all others count together, in the last row and column.
        size: codebook size N.

    Returns:
        how often the code of a column follows that of a row; whatever N, of M + 1 each.
    """
    other = len(codes)
    place = np.full(size, other, np.int64)
    place[codes] = np.arange(other)
    total = np.zeros((other + 1) ** 2, np.int64)
    for row in rows:
        now = place[row]
        total += np.bincount(now[:-1] * (other + 1) + now[1:], minlength=total.size)
    return total.reshape(other + 1, other + 1)


def lift(pairs: Int64[np.ndarray, "M1 M1"]) -> Float64[np.ndarray, "M M"]:
    """Return log2 of P(next | code) / P(next), half a pair added to what is seen and expected.

    The half keeps a pair that was never seen finite, and one that was not expected either at 0.
    """
    left, right = pairs.sum(axis=1), pairs.sum(axis=0)
    expected = np.outer(left / max(1, int(left.sum())), right)
    found: np.ndarray = np.log2((pairs + 0.5) / (expected + 0.5))[:-1, :-1]
    return found


def stays(pairs: Int64[np.ndarray, "M1 M1"]) -> Float64[np.ndarray, "M"]:
    """Return the share of each code's successors that are the code itself."""
    found: np.ndarray = (np.diag(pairs) / np.maximum(1, pairs.sum(axis=1)))[:-1]
    return found


def arrange(table: Float64[np.ndarray, "M M"]) -> Codes:
    """Return an order of codes in which those with similar neighbours are together.

    Clusters of rows and columns of the table are joined by their mean distance, the nearest first
    (Sokal & Michener 1958), each turned so that the ends that meet are alike.
    """
    profile = np.concatenate((table, table.T), axis=1)
    profile /= np.maximum(np.linalg.norm(profile, axis=1, keepdims=True), 1e-12)
    squares = 2 - 2 * profile @ profile.T  # of unit vectors
    apart = np.sqrt(np.maximum(squares, 0))
    between = apart.copy()
    np.fill_diagonal(between, np.inf)
    clusters = {i: [i] for i in range(len(table))}
    while len(clusters) > 1:
        i, j = sorted(map(int, np.unravel_index(between.argmin(), between.shape)))
        a, b = clusters[i], clusters.pop(j)
        mean = (len(a) * between[i] + len(b) * between[j]) / (len(a) + len(b))
        clusters[i] = _joined(a, b, apart)
        between[i] = between[:, i] = mean
        between[i, i] = np.inf
        between[j] = between[:, j] = np.inf
    return np.array(next(iter(clusters.values()), []), np.int64)


def _joined(a: list[int], b: list[int], apart: Float64[np.ndarray, "M M"]) -> list[int]:
    """Return two lists one after the other, turned so that the nearest of their ends meet."""
    turned = [(x, y) for x in (a, a[::-1]) for y in (b, b[::-1])]
    x, y = min(turned, key=lambda two: float(apart[two[0][-1], two[1][0]]))
    return x + y
