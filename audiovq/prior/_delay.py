"""The delay pattern: row k of the codes moved k frames later, drawn column by column.

K rows then cost K - 1 columns more, and not K times as many; in exchange, codes of one column do
not see each other: a code knows the rows above it of its own frame, and of the row below what is
at least two frames old.

Source: MusicGen (Copet et al. 2023, arXiv:2306.05284), section 2.1.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from audiovq.errors import ConfigError
from audiovq.prior._base import Condition, Place, Prior, Steps
from audiovq.prior._condition import NOTHING, ConditionConfig, Conditioner, keys_of
from audiovq.prior._rows import Heads, Rows, inside_of


class DelayedPrior(Prior):
    """A prior whose network runs over columns: vectors in, vectors out, none seeing a later one.

    Args:
        config: what conditions may tell.
        sizes: codebook size of each row.
        labels: how many labels there are beside 0.
        channels: of the vectors.
    """

    def __init__(
        self, config: ConditionConfig, sizes: Sequence[int], labels: int, channels: int
    ) -> None:
        super().__init__()
        self.codebook_sizes, self.labels = tuple(sizes), labels
        self.rows = Rows(self.codebook_sizes, channels)
        self.conditioner = Conditioner(config, labels, channels)
        self.heads = Heads(self.codebook_sizes, channels)

    @abstractmethod
    def columns(self, x: Float[Tensor, "B S C"], keys: Int[Tensor, "B"]) -> Float[Tensor, "B S C"]:
        """Run the network over whole sequences; draws in training derive from the keys."""

    @abstractmethod
    def begin(self, batch: int, columns: int) -> "Network":
        """Allocate the state of the network for sequences of at most so many columns."""

    def forward(
        self,
        codes: Int[Tensor, "B K T"],
        lengths: Int[Tensor, "B"] | None = None,
        condition: Condition = NOTHING,
    ) -> Float[Tensor, "B K N T"]:
        """Return the logits of every code; arguments as in `Prior.forward`."""
        K, T = codes.shape[1:]
        inside = inside_of(lengths, T)
        entries = self.rows.entries(codes, inside)
        x = self.rows.table(self.rows.later(entries, range(1, K + 1), T + K - 1)).sum(dim=1)
        known = self.conditioner(condition, T, inside, more=K - 1)
        h = self.columns(x if known is None else x + known, keys_of(condition, codes))
        return torch.stack([self.heads(h[:, k : k + T], k) for k in range(K)], dim=1)

    def groups(self, frames: int) -> Iterator[Sequence[Place]]:
        """Yield the columns, the last row first."""
        for column in range(frames + self.num_codebooks - 1):
            yield [(k, column - k) for k in reversed(self.rows_of(column, frames))]

    def rows_of(self, column: int, frames: int) -> range:
        """Return the rows that have a code in a column."""
        return range(max(0, column - frames + 1), min(self.num_codebooks - 1, column) + 1)

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
            self._known = _known(prior, frames, condition)
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


def _known(prior: DelayedPrior, frames: int, condition: Condition) -> Float[Tensor, "_ S C"] | None:
    """Return what is known of each column, or once where it is the same for all."""
    training = prior.conditioner.training
    try:
        prior.conditioner.eval()
        found: Tensor | None = prior.conditioner(condition, frames, more=prior.num_codebooks - 1)
    finally:
        prior.conditioner.train(training)
    return found
