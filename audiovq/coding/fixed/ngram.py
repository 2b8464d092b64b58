"""The coder's copy of the n-grams."""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import torch
from jaxtyping import Int64

from audiovq.coding.fixed._base import FixedPrior, FixedSteps, Hidden
from audiovq.prior.ngram import NGram

_SCALE = 30  # of the frequencies: their sum is 2^30, and up to one for each code


class NGramCopy(FixedPrior):
    """The prior's own probabilities, float64: each is elementwise products and sums in one order.

    So IEEE 754 gives the same on every machine, and nothing need be on a grid but the last.
    """

    def __init__(self, prior: NGram) -> None:
        super().__init__(prior)
        self.ngrams = deepcopy(prior).cpu()  # as the weights of others: read now, from any device

    def hidden(self, codes: Int64[np.ndarray, "B K T"]) -> Sequence[Hidden]:
        """Return the histories of each row."""
        known, (B, K, T) = torch.from_numpy(np.maximum(codes, 0)), codes.shape
        found = [self.ngrams.history(known, row).numpy() for row in range(K)]
        return [x.reshape(B, T, x.shape[1]) for x in found]

    def frequencies(self, row: int, hidden: Hidden) -> Int64[np.ndarray, "P _"]:
        """Return a row's frequencies of each code after each history."""
        found = self.ngrams.probabilities(row, torch.from_numpy(hidden)).numpy() * 2.0**_SCALE
        return found.astype(np.int64) + 1

    def steps(self, batch: int, frames: int) -> FixedSteps:  # noqa: ARG002  the state has one size
        """Begin sequences, of which the last few frames are kept."""
        return _Steps(self, batch)


class _Steps(FixedSteps):
    """Sequences code by code, of which the frames within the context are kept."""

    def __init__(self, copy: NGramCopy, batch: int) -> None:
        self._copy, self._next = copy, 0
        self._held = (copy.ngrams.context or 0) + 1  # frame t is in column t modulo this
        sizes = copy.codebook_sizes
        self._codes = np.full((batch, len(sizes), self._held), max(sizes))

    def hidden(self) -> Sequence[Hidden]:
        """Return the history of the next code."""
        t, row = divmod(self._next, len(self._copy.codebook_sizes))
        seen = self._copy.ngrams.seen[row]
        found = np.empty((len(self._codes), len(seen)), dtype=np.int64)
        for i, (r, lag) in enumerate(seen):
            found[:, i] = self._codes[:, r, (t - lag) % self._held]
        return [found]

    def push(self, codes: Int64[np.ndarray, "B 1"]) -> None:
        """Say which code is next."""
        t, row = divmod(self._next, len(self._copy.codebook_sizes))
        self._codes[:, row, t % self._held] = np.maximum(codes[:, 0], 0)
        self._next += 1
