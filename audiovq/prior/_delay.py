"""Networks over columns of the delay pattern, whole or one column at a time."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from audiovq.errors import ConfigError
from audiovq.prior._base import Condition, Steps
from audiovq.prior._columns import ColumnPrior
from audiovq.prior._condition import NOTHING, ConditionConfig, at_rest
from audiovq.prior._rows import Heads


class DelayedPrior(ColumnPrior):
    """A prior whose network reads vectors that hold a column's codes and what is known of it.

    Args:
        config: what conditions may tell.
        sizes: codebook size of each row.
        labels: how many labels there are beside 0.
        channels: of the vectors.
    """

    def __init__(
        self, config: ConditionConfig, sizes: Sequence[int], labels: int, channels: int
    ) -> None:
        super().__init__(config, sizes, labels, channels)
        self.heads = Heads(self.codebook_sizes, channels)

    @abstractmethod
    def columns(self, x: Float[Tensor, "B S C"], keys: Int[Tensor, "B"]) -> Float[Tensor, "B S C"]:
        """Run the network over whole sequences; draws in training derive from the keys."""

    @abstractmethod
    def begin(self, batch: int, columns: int) -> "Network":
        """Allocate the state of the network for sequences of at most so many columns."""

    def hidden(
        self,
        x: Float[Tensor, "B S C"],
        known: Float[Tensor, "_ _ C"] | None,
        keys: Int[Tensor, "B"],
    ) -> Float[Tensor, "B S C"]:
        """Run the network over columns with what is known of them."""
        return self.columns(x if known is None else x + known, keys)

    def steps(self, batch: int, frames: int, condition: Condition = NOTHING) -> Steps:
        """Begin sequences of at most so many frames; dropout is off."""
        return _DelayedSteps(self, batch, frames, condition)


class Network(ABC):
    """A network over columns with its state, of a batch of sequences."""

    @abstractmethod
    def __call__(self, x: Float[Tensor, "B C"]) -> Float[Tensor, "B C"]:
        """Run the network over the next column."""


class _DelayedSteps(Steps):
    """Sequences column by column."""

    def __init__(self, prior: DelayedPrior, batch: int, frames: int, condition: Condition) -> None:
        if batch < 1 or frames < 1:
            raise ConfigError(f"{batch} sequences of {frames} frames: at least 1 of 1 is needed")
        self._prior, self._frames, self._column = prior, frames, 0
        self._found: Tensor | None = None
        self._entries = prior.rows.nothing.repeat(batch, 1)  # of the column before
        with torch.no_grad():
            self._known = at_rest(
                prior.conditioner, condition, frames, more=prior.num_codebooks - 1
            )
            self._network = prior.begin(batch, frames + prior.num_codebooks - 1)

    @torch.no_grad()
    def logits(self) -> Float[Tensor, "B G N"]:
        """Return the logits of the next column's codes, the last row first."""
        if self._found is None:
            rows, prior = self._rows(), self._prior
            x = prior.rows.table(self._entries).sum(dim=1)
            if self._known is not None:
                x = x + self._known[:, min(self._column, self._known.shape[1] - 1)]
            h = self._network(x).unsqueeze(1)
            self._found = torch.cat([prior.heads(h, k)[..., 0].unsqueeze(1) for k in rows], dim=1)
        return self._found

    def push(self, codes: Int[Tensor, "B G"]) -> None:
        """Say which codes the next column has."""
        self.logits()  # the state must have seen every column
        rows = self._rows()
        self._entries = self._prior.rows.nothing.repeat(len(codes), 1)
        self._entries[:, rows] = codes + self._prior.rows.offset[rows]
        self._column, self._found = self._column + 1, None

    def _rows(self) -> list[int]:
        if self._column >= self._frames + self._prior.num_codebooks - 1:
            raise ConfigError(f"all {self._frames} frames that the steps began with are done")
        return list(reversed(self._prior.rows_of(self._column, self._frames)))
