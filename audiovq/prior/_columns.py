"""Columns of the delay pattern: row k of the codes moved k frames later, a column drawn at once.

K rows then cost K - 1 columns more, and not K times as many; in exchange, codes of one column do
not see each other: a code knows the rows above it of its own frame, and of the row below what is
at least two frames old.

Source: MusicGen (Copet et al. 2023, arXiv:2306.05284), section 2.1.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from audiovq.prior._base import Condition, Place, Prior
from audiovq.prior._blocks import groups_of
from audiovq.prior._condition import NOTHING, ConditionConfig, Conditioner, keys_of
from audiovq.prior._rows import Heads, Rows, inside_of

# A network that carries its state: from vectors of the next columns (B, S, C), and what is known of
# them (B or 1, S or 1, C), to what the heads read (B, S, H).
Carrying = Callable[[Tensor, Tensor | None], Tensor]


class ColumnPrior(Prior):
    """A prior whose network runs over columns, none seeing a later one; subclasses add `heads`.

    Args:
        config: what conditions may tell.
        sizes: codebook size of each row.
        labels: how many labels there are beside 0.
        channels: of the vectors.
    """

    heads: Heads

    def __init__(
        self, config: ConditionConfig, sizes: Sequence[int], labels: int, channels: int
    ) -> None:
        super().__init__()
        self.codebook_sizes, self.labels = tuple(sizes), labels
        self.ahead = len(self.codebook_sizes) - 1
        self.rows = Rows(self.codebook_sizes, channels)
        self.conditioner = Conditioner(config, labels, channels)

    @abstractmethod
    def hidden(
        self,
        x: Float[Tensor, "B S C"],
        known: Float[Tensor, "_ _ C"] | None,
        keys: Int[Tensor, "B"],
    ) -> Float[Tensor, "B S H"]:
        """Run the network over whole sequences; draws in training derive from the keys."""

    def forward(
        self,
        codes: Int[Tensor, "B K T"],
        lengths: Int[Tensor, "B"] | None = None,
        condition: Condition = NOTHING,
    ) -> Float[Tensor, "B K N T"]:
        """Return the logits of every code; arguments as in `Prior.forward`."""
        K, T = codes.shape[1:]
        inside = inside_of(lengths, T)
        before = self.rows.later(self.rows.entries(codes, inside), range(1, K + 1), T + K - 1)
        x = self.rows.table(before).sum(dim=1)
        known = self.conditioner(condition, T, inside, more=K - 1)
        h = self.hidden(x, known, keys_of(condition, codes))
        return torch.stack([self.heads(h[:, k : k + T], k) for k in range(K)], dim=1)

    def groups(self, frames: int) -> Iterator[Sequence[Place]]:
        """Yield the columns of the delayed grid, the last row first."""
        for column in range(frames + self.num_codebooks - 1):
            yield [(k, column - k) for k in reversed(self.rows_of(column, frames))]

    def rows_of(self, column: int, frames: int) -> range:
        """Return the rows that have a code in a column."""
        return range(max(0, column - frames + 1), min(self.num_codebooks - 1, column) + 1)


def in_columns(
    prior: ColumnPrior,
    begin: Callable[[int], Carrying],
    codes: Int[Tensor, "B K T"],
    lengths: Int[Tensor, "B"] | None,
    condition: Condition,
    *,
    many: int,
    size: int,
) -> Float[Tensor, "B K T"]:
    """Return the logarithm of each code's probability; no column is computed twice.

    Args:
        prior: its tables, conditions and heads.
        begin: begins so many sequences.
        codes: as in `Prior.log_prob`, as are lengths and condition.
        lengths: frames per item.
        condition: what else is known.
        many: items at a time.
        size: frames at a time.
    """
    (B, K, T), found = codes.shape, torch.zeros(codes.shape, device=codes.device)
    ends = torch.full((B,), T, device=codes.device) if lengths is None else lengths
    for items, end in groups_of(codes, lengths, many):
        group = codes[items, :, :end]
        inside = torch.arange(end, device=codes.device) < ends[items].unsqueeze(1)
        entries, network = prior.rows.entries(group, inside), begin(len(group))
        before = prior.rows.later(entries, range(1, K + 1), end + K - 1)
        group = torch.where(inside.unsqueeze(1), group, 0)
        for start in range(0, end, size):
            stop = min(start + size, end)
            more = K - 1 if stop == end else 0  # columns after that of row 0's last frame
            told = condition.part(items, T, start, stop)
            known = prior.conditioner(told, stop - start, inside[:, start:stop], more=more)
            x = prior.rows.table(before[:, :, start : stop + more]).sum(dim=1)
            _read(prior.heads, network(x, known), group, start, found[items, :, :end])
        found[items, :, :end].masked_fill_(~inside.unsqueeze(1), 0.0)
    return found


def _read(
    heads: Heads,
    h: Float[Tensor, "B S H"],
    codes: Int[Tensor, "B K T"],
    start: int,
    found: Float[Tensor, "B K T"],
) -> None:
    """Write what columns from `start` on tell of codes to where they are."""
    for k in range(heads.rows):
        column = max(start, k)  # row k begins there
        logits = heads.scores(h[:, column - start : codes.shape[2] + k - start], k)
        part = slice(column - k, column - k + logits.shape[1])
        each = F.cross_entropy(
            logits.flatten(0, 1).float(), codes[:, k, part].flatten(), reduction="none"
        )
        found[:, k, part] = -each.view(logits.shape[:2])
