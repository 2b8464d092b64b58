"""How a codebook is used and what its codes cost, from counts of codes over a whole evaluation.

H is the entropy in bits per frame, p_b(n) the share of code n among the codes from codebook b,
which fills r_b rows (one, but for the fast stream of VQ-VAE-2):
`H = -sum_b r_b sum_n p_b(n) log2 p_b(n)`. Entropies of batches are never averaged: they are biased
low. No rate includes the cost of a model or of a file format.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor

from audiovq.eval.intervals import Interval, jackknife
from audiovq.eval.values import Value

Counts = npt.NDArray[np.int64]


def count(codes: Int[Tensor, "1 K T"], sizes: tuple[int, ...]) -> Counts:
    """Return how often each code occurs in each row of one item's codes, (K, largest N)."""
    rows = [torch.bincount(row, minlength=max(sizes)) for row in codes[0].cpu()]
    return torch.stack(rows).numpy()


def pool(counts: Counts, books: tuple[int, ...]) -> Counts:
    """Return counts (..., books, N) of rows (..., K, N), rows of one codebook added up."""
    each = [counts[..., [k for k, b in enumerate(books) if b == n], :] for n in sorted({*books})]
    return np.stack([rows.sum(axis=-2) for rows in each], axis=-2)


def entropy(counts: Counts, rows: Sequence[int] | None = None) -> float:
    """Return the plug-in entropy in bits per frame, in [0, sum log2 N].

    Args:
        counts: of each codebook.
        rows: how many rows each fills; None: one.
    """
    p = counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)
    each = -(p * np.log2(p, where=p > 0, out=np.zeros_like(p))).sum(axis=-1)
    return float(each @ np.ones(len(each)) if rows is None else each @ np.asarray(rows)) + 0.0


def cross_entropy(
    counts: Counts, train: Counts, sizes: tuple[int, ...], rows: Sequence[int] | None = None
) -> float:
    """Return the bits per frame of `counts` under code lengths fixed by training data.

    The training distribution has one count added to every code, so that a code it never saw has a
    length. Unlike the plug-in entropy this is a rate a decoder can have: nothing about the test
    data is known beforehand.
    """
    total = 0.0
    times = rows or (1,) * len(sizes)
    for row, seen, size, r in zip(counts, train, sizes, times, strict=True):
        q = (seen[:size] + 1) / (seen[:size].sum() + size)
        total -= r * float((row[:size] * np.log2(q)).sum()) / max(int(row.sum()), 1)
    return total


def usage(counts: Counts, sizes: tuple[int, ...]) -> float:
    """Return the share of codes that occur at least once, over all codebooks, in [0, 1]."""
    return float((counts > 0).sum() / sum(sizes))


def describe(
    by_group: Counts,
    sizes: tuple[int, ...],
    *,
    seconds: float,
    nominal: float,
    unit: str,
    train: Counts | None = None,
    books: tuple[int, ...] | None = None,
) -> list[Value]:
    """Return usage, perplexity, entropy and bitrates with intervals over groups.

    Args:
        by_group: counts (G, K, largest N) of each group of utterances.
        sizes: codebook size of each row.
        seconds: duration of all audio.
        nominal: the model's nominal bitrate (bit/s).
        unit: what a group is, for the report.
        train: counts (K, largest N) over training data, for the coded bitrate.
        books: which codebook each row is from; None: its own.
    """
    books = books or tuple(range(len(sizes)))
    frames, rows, most = int(by_group[:, 0].sum()), len(sizes), float(np.log2(sizes).sum())
    rate = frames / seconds
    each = [books.count(b) for b in sorted({*books})]
    sizes = tuple(sizes[books.index(b)] for b in sorted({*books}))
    by_group, train = pool(by_group, books), None if train is None else pool(train, books)
    total = by_group.sum(axis=0)

    def value(name: str, x: float, interval: Interval | None = None) -> Value:
        low, high = interval or (None, None)
        how = f"jackknife over {len(by_group)} {unit}" if interval else ""
        return Value(name, x, low, high, how, frames)

    bits = entropy(total, each)
    corrected, around = jackknife(by_group, lambda c: entropy(c, each))
    around = around and _within(around, 0.0, most)
    used = jackknife(by_group, lambda c: usage(c, sizes))[1]
    result = [
        value("usage", usage(total, sizes), used and _within(used, 0.0, 1.0)),
        value(
            "perplexity",
            2 ** (bits / rows),
            around and (2 ** (around[0] / rows), 2 ** (around[1] / rows)),
        ),
        value("entropy", bits, around),
        value("entropy_corrected", min(corrected, most)),
        Value("bitrate", nominal),
        value("unigram_bitrate", rate * bits, around and (rate * around[0], rate * around[1])),
    ]
    if train is not None:
        spent = cross_entropy(total, train, sizes, each)
        around = jackknife(by_group, lambda c: cross_entropy(c, train, sizes, each))[1]
        around = around and (rate * around[0], rate * around[1])
        result.append(value("coded_bitrate", rate * spent, around))
    return result


def _within(interval: Interval, low: float, high: float) -> Interval:
    return max(low, interval[0]), min(high, interval[1])
