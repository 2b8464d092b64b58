"""How a codebook is used and what its codes cost, from counts of codes over a whole evaluation.

H is the entropy in bits, p_k(n) the share of code n in row k of the codes:
`H = -sum_k sum_n p_k(n) log2 p_k(n)`. Entropies of batches are never averaged: they are biased
low. No rate includes the cost of a model or of a file format.
"""

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


def entropy(counts: Counts) -> float:
    """Return the plug-in entropy in bits per frame, summed over rows, in [0, sum log2 N]."""
    p = counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)
    return float(-(p * np.log2(p, where=p > 0, out=np.zeros_like(p))).sum()) + 0.0


def cross_entropy(counts: Counts, train: Counts, sizes: tuple[int, ...]) -> float:
    """Return the bits per frame of `counts` under code lengths fixed by training data.

    The training distribution has one count added to every code, so that a code it never saw has a
    length. Unlike the plug-in entropy this is a rate a decoder can have: nothing about the test
    data is known beforehand.
    """
    total = 0.0
    for row, seen, size in zip(counts, train, sizes, strict=True):
        q = (seen[:size] + 1) / (seen[:size].sum() + size)
        total -= float((row[:size] * np.log2(q)).sum()) / max(int(row.sum()), 1)
    return total


def usage(counts: Counts, sizes: tuple[int, ...]) -> float:
    """Return the share of codes that occur at least once, over all rows, in [0, 1]."""
    return float((counts > 0).sum() / sum(sizes))


def describe(
    by_group: Counts,
    sizes: tuple[int, ...],
    *,
    seconds: float,
    nominal: float,
    unit: str,
    train: Counts | None = None,
) -> list[Value]:
    """Return usage, perplexity, entropy and bitrates with intervals over groups.

    Args:
        by_group: counts (G, K, largest N) of each group of utterances.
        sizes: codebook size of each row.
        seconds: duration of all audio.
        nominal: the model's nominal bitrate (bit/s).
        unit: what a group is, for the report.
        train: counts (K, largest N) over training data, for the coded bitrate.
    """
    total = by_group.sum(axis=0)
    frames, rows, most = int(total[0].sum()), len(sizes), float(np.log2(sizes).sum())
    rate = frames / seconds

    def value(name: str, x: float, interval: Interval | None = None) -> Value:
        low, high = interval or (None, None)
        how = f"jackknife over {len(by_group)} {unit}" if interval else ""
        return Value(name, x, low, high, how, frames)

    bits = entropy(total)
    corrected, around = jackknife(by_group, entropy)
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
        spent = cross_entropy(total, train, sizes)
        around = jackknife(by_group, lambda c: cross_entropy(c, train, sizes))[1]
        around = around and (rate * around[0], rate * around[1])
        result.append(value("coded_bitrate", rate * spent, around))
    return result


def _within(interval: Interval, low: float, high: float) -> Interval:
    return max(low, interval[0]), min(high, interval[1])
