"""Values and weights on binary grids, carried in float64, so that every sum is exact.

A value is a whole number of steps of 2^-12, at most 2^23 of them (2048); a weight is one of steps
of 2^-16. Both are carried as whole numbers in float64. A product of the two is a whole number of
steps of 2^-28, and a sum of such stays exact, in whatever order and with or without fused
multiply-add, as long as no part of it can reach 2^53: weights that could are refused. What is left
to do between sums is elementwise: scaling by powers of two, rounding, +, -, *, /, and square roots,
which IEEE 754 rounds correctly on every machine.
"""

import math

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from audiovq.errors import CheckpointError

VALUE_BITS, WEIGHT_BITS = 12, 16
SUM_BITS = VALUE_BITS + WEIGHT_BITS
ONE = 1 << VALUE_BITS
LIMIT = 2.0**23  # of a value, in steps
_EXACT = 2.0**52  # whole numbers up to twice this are exact; half is kept for rounding this check


class Linear:
    """A linear layer on the grids.

    Attributes:
        weight: (in, out), to multiply from the right; parts of it may be used one by one, and
            their sums added up.
        bias: of the sums, in their steps.

    Raises:
        CheckpointError: a sum could be too large to be exact.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.weight = np.ascontiguousarray(steps(weight, WEIGHT_BITS).T)
        self.bias = np.zeros(self.weight.shape[1]) if bias is None else steps(bias, SUM_BITS)
        check_exact(np.abs(self.weight).sum(axis=0) * LIMIT + np.abs(self.bias))

    def __call__(self, x: Float64[np.ndarray, "*B C"]) -> Float64[np.ndarray, "*B H"]:
        """Return the sums, not yet rounded to values."""
        return x @ self.weight + self.bias  # type: ignore[no-any-return]


def check_exact(largest: Float64[np.ndarray, "*S"]) -> None:
    """Look whether sums of at most these sizes, in their steps, are exact.

    Raises:
        CheckpointError: one may not be.
    """
    most = float(largest.max())
    if not most < _EXACT:
        raise CheckpointError(
            f"this prior's weights are too large to compress with: a sum could reach "
            f"2^{math.log2(most):.0f} steps of 2^-{SUM_BITS}, and up to 2^52 are exact; use "
            f"another prior, or none"
        )


def steps(numbers: Tensor, bits: int) -> Float64[np.ndarray, "..."]:
    """Return numbers as whole steps of 2^-bits, the nearest.

    Raises:
        CheckpointError: one is not finite.
    """
    found = numbers.detach().cpu().double()
    if not bool(torch.isfinite(found).all()):
        raise CheckpointError("this prior's weights are not finite: it is damaged")
    return np.rint(found.numpy() * 2.0**bits)


def values(numbers: Tensor) -> Float64[np.ndarray, "..."]:
    """Return numbers as the nearest values."""
    return limited(steps(numbers, VALUE_BITS))


def rounded(sums: Float64[np.ndarray, "*S"], bits: int = WEIGHT_BITS) -> Float64[np.ndarray, "*S"]:
    """Return sums, that many bits finer than values, as values."""
    found = sums * 2.0**-bits
    return limited(np.rint(found, out=found))


def limited(x: Float64[np.ndarray, "*S"]) -> Float64[np.ndarray, "*S"]:
    """Return values with those beyond the limit moved to it."""
    return np.maximum(np.minimum(x, LIMIT), -LIMIT)  # type: ignore[no-any-return]
