"""Clustering of rows in memory: k-means++ and Lloyd's iterations, one step at a time."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from audiovq.bottlenecks._codebook import nearest
from audiovq.nn import random

_BLOCK = 1 << 15  # rows at a time


@dataclass(frozen=True)
class Step:
    """Rows assigned to centres.

    Attributes:
        centres: the means of the rows that each centre was given.
        counts: how many those were.
        inertia: mean squared distance of the rows to the centres they were given.
    """

    centres: Float[Tensor, "N D"]
    counts: Int[Tensor, "N"]
    inertia: float


def seed_centres(rows: Float[Tensor, "R D"], size: int, seed: int) -> Float[Tensor, "N D"]:
    """Choose first centres among the rows: greedy k-means++.

    Each next centre is the best of several rows drawn with a chance in proportion to their squared
    distance to the centres so far.

    Source: Arthur & Vassilvitskii 2007 ("k-means++"), the greedy variant of their section 5, with
    2 + ln N candidates as in scikit-learn.
    """
    key, norms = torch.tensor([seed]), rows.square().sum(dim=1)
    tries = 2 + int(torch.tensor(float(size)).log())
    # 64 bits, for a draw of 24 would be too coarse for the tail of many rows
    drawn = (random.bits(key, "k-means++", size * tries)[0].double() * 2.0**-64 + 0.5).clamp(0, 1)
    drawn = drawn.view(size, tries)
    chosen = [min(int(drawn[0, 0] * len(rows)), len(rows) - 1)]
    closest = _distances(rows, norms, rows[chosen])[:, 0]
    for n in range(1, size):
        totals = closest.double().cumsum(0)
        picks = torch.searchsorted(totals, drawn[n] * totals[-1]).clamp_max(len(rows) - 1)
        left = torch.minimum(closest.unsqueeze(1), _distances(rows, norms, rows[picks]))
        best = int(left.sum(dim=0, dtype=torch.float64).argmin())
        chosen.append(int(picks[best]))
        closest = left[:, best]
    return rows[chosen].clone()


def iterate(rows: Float[Tensor, "R D"], centres: Float[Tensor, "N D"]) -> Step:
    """Assign the rows and move the centres to their means, summed in float64.

    A centre without rows moves to the row farthest from its own centre, the second such centre to
    the second farthest, and so on; one stays where it is only if all rows lie on centres.
    """
    codes = nearest(rows, centres)
    sums = torch.zeros(centres.shape, dtype=torch.float64)
    far = torch.empty(len(rows))
    for i in range(0, len(rows), _BLOCK):
        part = slice(i, i + _BLOCK)
        sums.index_add_(0, codes[part], rows[part].double())
        far[part] = (rows[part] - centres[codes[part]]).square().sum(dim=1)
    counts = torch.bincount(codes, minlength=len(centres))
    moved = torch.where((counts > 0).unsqueeze(1), sums / counts.clamp_min(1).unsqueeze(1), centres)
    moved = moved.float()
    empty = (counts == 0).nonzero()[:, 0]
    farthest = far.topk(min(len(empty), len(rows))).indices
    farthest = farthest[far[farthest] > 0]
    moved[empty[: len(farthest)]] = rows[farthest]
    return Step(moved, counts, float(far.mean(dtype=torch.float64)))


def _distances(
    rows: Float[Tensor, "R D"], norms: Float[Tensor, "R"], points: Float[Tensor, "P D"]
) -> Float[Tensor, "R P"]:
    """Return squared distances."""
    squares = points.square().sum(dim=1)
    return (norms.unsqueeze(1) - 2 * (rows @ points.T) + squares).clamp_min_(0.0)
