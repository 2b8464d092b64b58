"""The one contract of the coder's copies of priors.

A copy computes what its prior does, on the grids of `_grid`, so that the frequencies it gives are a
pure function of the codes before: the same in a batch of any size, over whole sequences or with
cached state, with any number of threads, in any process, on any machine.

Codes are (B, K, T), -1 where there is none. No label is given, as a file holds none.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float64, Int64, Shaped
from torch import nn

from audiovq.coding.fixed._grid import WEIGHT_BITS, Linear, limited, values
from audiovq.coding.fixed._tables import exponential
from audiovq.errors import ConfigError
from audiovq.prior._base import Place, Prior
from audiovq.prior._rows import Heads, Rows

Hidden = Shaped[np.ndarray, "*B H"]  # what a code is predicted from, whatever a prior makes it

_SCALE = 24  # the most probable code has a frequency of 2^24 + 1


class FixedSteps(ABC):
    """A batch of sequences that grows group by group."""

    @abstractmethod
    def hidden(self) -> Sequence[Hidden]:
        """Return, of each code of the next group, what it is predicted from (B, H)."""

    @abstractmethod
    def push(self, codes: Int64[np.ndarray, "B G"]) -> None:
        """Say which codes the next group has, and go on to the one after it."""


class FixedPrior(ABC):
    """Base of every copy.

    Args:
        prior: what it is a copy of; its weights are read now.

    Raises:
        ConfigError: the prior needs more than codes.
        CheckpointError: its weights do not fit the grids.
    """

    def __init__(self, prior: Prior) -> None:
        if (conditioner := getattr(prior, "conditioner", None)) and conditioner.local:
            raise ConfigError(
                "this prior is told other codes or features of each frame, which a compressed "
                "file does not hold: compress with a prior of codes alone, or with none"
            )
        self.codebook_sizes = tuple(prior.codebook_sizes)
        self._prior = prior

    @abstractmethod
    def hidden(self, codes: Int64[np.ndarray, "B K T"]) -> Sequence[Hidden]:
        """Return, for each row, what its codes are predicted from (B, T, H)."""

    @abstractmethod
    def frequencies(self, row: int, hidden: Hidden) -> Int64[np.ndarray, "P _"]:
        """Return a row's frequencies of each code, at least 1, from what predicts it (P, H)."""

    @abstractmethod
    def steps(self, batch: int, frames: int) -> FixedSteps:
        """Begin sequences of at most so many frames, computed with cached state."""

    def groups(self, frames: int) -> Iterator[Sequence[Place]]:
        """Yield the codes of each group, in the order in which they are drawn."""
        return self._prior.groups(frames)


class Embedding:
    """The table of `Rows`, on the grid of values."""

    def __init__(self, rows: Rows) -> None:
        self._table = values(rows.table.weight)
        self._offset, self._nothing = rows.offset.cpu().numpy(), rows.nothing.cpu().numpy()

    def __call__(self, codes: Int64[np.ndarray, "B K"]) -> Float64[np.ndarray, "B K C"]:
        """Return the vectors of codes, of no code where they are -1."""
        entries = np.where(codes < 0, self._nothing, codes + self._offset)
        return self._table.take(entries, axis=0)


class FixedHeads:
    """One linear layer per row of codes, of as many logits as the row has codes."""

    def __init__(self, heads: Heads, sizes: Sequence[int]) -> None:
        layer: nn.Linear = heads.linear
        starts = [k * heads.largest for k in range(len(sizes))]
        self._layers = [
            Linear(layer.weight[start : start + size], layer.bias[start : start + size])
            for start, size in zip(starts, sizes, strict=True)
        ]

    def __call__(self, row: int, h: Float64[np.ndarray, "P H"]) -> Int64[np.ndarray, "P N"]:
        """Return frequencies in proportion to exp(logit), and 1 for the least probable."""
        sums = self._layers[row](h)
        sums *= 2.0**-WEIGHT_BITS
        logits = np.rint(sums, out=sums)
        below = np.subtract(logits.max(axis=1, keepdims=True), logits, out=logits)
        return exponential(_SCALE).take(below.astype(np.int64), mode="clip") + 1  # type: ignore[no-any-return]


def summed(vectors: Float64[np.ndarray, "B K C"]) -> Float64[np.ndarray, "B C"]:
    """Return the sum over rows."""
    return vectors[:, 0] if vectors.shape[1] == 1 else limited(vectors.sum(axis=1))
