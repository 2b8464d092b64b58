"""Copies of priors over the columns of the delay pattern, as `audiovq.prior._delay` has them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from audiovq.coding.fixed._base import (
    Embedding,
    FixedHeads,
    FixedPrior,
    FixedSteps,
    Hidden,
    summed,
)


class DelayedCopy(FixedPrior):
    """A copy whose network runs over columns: vectors in, vectors out, none seeing a later one."""

    def __init__(self, prior: Any) -> None:
        super().__init__(prior)
        self.embed = Embedding(prior.rows)
        self._heads = FixedHeads(prior.heads, self.codebook_sizes)

    @abstractmethod
    def columns(self, x: Float64[np.ndarray, "B S C"]) -> Float64[np.ndarray, "B S H"]:
        """Run the network over whole sequences."""

    @abstractmethod
    def begin(self, batch: int, columns: int) -> "Network":
        """Allocate the state of the network for sequences of at most so many columns."""

    def hidden(self, codes: Int64[np.ndarray, "B K T"]) -> Sequence[Hidden]:
        """Return, for each row, its columns."""
        B, K, T = codes.shape
        before = np.full((B, T + K - 1, K), -1)
        for k in range(K):
            part = codes[:, k, : T + K - 2 - k]
            before[:, k + 1 : k + 1 + part.shape[1], k] = part
        x = summed(self.embed(before.reshape(-1, K))).reshape(B, T + K - 1, -1)
        h = self.columns(x)
        return [h[:, k : k + T] for k in range(K)]

    def frequencies(self, row: int, hidden: Hidden) -> Int64[np.ndarray, "P _"]:
        """Return a row's frequencies of each code."""
        return self._heads(row, hidden)

    def steps(self, batch: int, frames: int) -> FixedSteps:
        """Begin sequences of at most so many frames."""
        return _DelayedSteps(self, batch, frames)


class Network(ABC):
    """A network over columns with its state, of a batch of sequences."""

    @abstractmethod
    def __call__(self, x: Float64[np.ndarray, "B C"]) -> Float64[np.ndarray, "B H"]:
        """Run the network over the next column."""


class _DelayedSteps(FixedSteps):
    """Sequences column by column."""

    def __init__(self, copy: DelayedCopy, batch: int, frames: int) -> None:
        self._copy, self._groups = copy, copy.groups(frames)
        self._rows = [k for k, _ in next(self._groups)]
        self._network = copy.begin(batch, frames + len(copy.codebook_sizes) - 1)
        self._before = np.full((batch, len(copy.codebook_sizes)), -1)
        self._found: Hidden | None = None

    def hidden(self) -> Sequence[Hidden]:
        """Return the column, once for each of its codes."""
        if self._found is None:
            self._found = self._network(summed(self._copy.embed(self._before)))
        return [self._found] * len(self._rows)

    def push(self, codes: Int64[np.ndarray, "B G"]) -> None:
        """Say which codes the column has."""
        self.hidden()  # the state must have seen every column
        self._before[:] = -1
        self._before[:, self._rows] = codes
        self._rows = [k for k, _ in next(self._groups, ())]
        self._found = None
