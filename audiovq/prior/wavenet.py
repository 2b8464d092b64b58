"""WaveNet over code sequences: gated dilated causal convolutions."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from audiovq.config import Factor
from audiovq.prior._base import Condition, Place, Prior
from audiovq.prior._condition import NOTHING, ConditionConfig, Conditioner, keys_of
from audiovq.prior._dropout import dropout
from audiovq.prior._rows import Heads, Rows, inside_of
from audiovq.prior._wavenet_steps import WaveNetSteps


class Config(ConditionConfig):
    """Settings of the WaveNet."""

    channels: int = Field(64, ge=1, le=4096, description="channels of every layer")
    skip_channels: int = Field(128, ge=1, le=4096, description="channels of the skip connections")
    dilations: tuple[Factor, ...] = Field(
        (1, 2, 4, 8, 1, 2, 4, 8),
        min_length=1,
        max_length=64,
        description="one layer each; the prior looks back over their sum and one column more",
    )
    dropout: float = Field(
        0.2, ge=0, lt=1, description="probability that training hides an input of a layer"
    )


class WaveNet(Prior):
    """Gated dilated causal convolutions with residual and skip connections.

    Row k is moved k frames later (the delay pattern); a column of the moved grid is one group,
    predicted from the columns before it. What the codes of a column say of each other beyond that
    is lost: a row's code is not told the next row's of the frame before.

    With D the sum of the dilations, a column depends on exactly the D + 1 columns before its own
    (on each of them if no dilation is larger than those of the other layers up to its size, and 1,
    together), so `context` is D + K frames: the last row's code of that long ago still tells the
    first row's.

    Source: van den Oord et al. 2016 (arXiv:1609.03499), sections 2.3 to 2.5; the delay pattern is
    that of MusicGen (Copet et al. 2023, arXiv:2306.05284, section 2.1). Differs in: residual
    connections have no bias (the next layer's gate has one); dropout on what a layer sees.
    """

    def __init__(self, config: Config, codebook_sizes: tuple[int, ...], labels: int = 0) -> None:
        super().__init__()
        self.config = config
        self.codebook_sizes = tuple(codebook_sizes)
        self.labels = labels
        self.context = sum(config.dilations) + len(codebook_sizes)
        C, layers = config.channels, len(config.dilations)
        self.rows = Rows(codebook_sizes, C)
        self.conditioner = Conditioner(config, labels, C)
        if labels or self.conditioner.local:
            self.conditions = nn.Linear(C, layers * 2 * C, bias=False)
        self.gates = nn.ModuleList(nn.Linear(2 * C, 2 * C) for _ in range(layers))
        wide = C + config.skip_channels
        self.outs = nn.ModuleList(nn.Linear(C, wide, bias=False) for _ in range(layers))
        self.skip_bias = nn.Parameter(torch.zeros(config.skip_channels))
        self.last = nn.Linear(config.skip_channels, config.skip_channels)
        self.heads = Heads(codebook_sizes, config.skip_channels)

    def forward(
        self,
        codes: Int[Tensor, "B K T"],
        lengths: Int[Tensor, "B"] | None = None,
        condition: Condition = NOTHING,
    ) -> Float[Tensor, "B K N T"]:
        """Return the logits of every code; arguments as in `Prior.forward`."""
        K, T = codes.shape[1:]
        inside = inside_of(lengths, T)
        columns = T + K - 1
        before = self.rows.later(self.rows.entries(codes, inside), range(1, K + 1), columns)
        x = self.rows.table(before).sum(dim=1)
        known = self.conditioner(condition, T, inside, more=K - 1)
        h = self._layers(x, known, keys_of(condition, codes))
        return torch.stack([self.heads(h[:, k : k + T], k) for k in range(K)], dim=1)

    def groups(self, frames: int) -> Iterator[Sequence[Place]]:
        """Yield the columns of the delayed grid, the last row first."""
        for column in range(frames + self.num_codebooks - 1):
            first, last = self.rows_of(column, frames)
            yield [(k, column - k) for k in range(last, first - 1, -1)]

    def rows_of(self, column: int, frames: int) -> tuple[int, int]:
        """Return the first and the last row that have a code in a column."""
        return max(0, column - frames + 1), min(self.num_codebooks - 1, column)

    def steps(self, batch: int, frames: int, condition: Condition = NOTHING) -> WaveNetSteps:
        """Begin sequences of at most so many frames; state as long as the dilations' sum."""
        return WaveNetSteps(self, batch, frames, condition)

    def condition_weights(self) -> Float[Tensor, "layers C2 C"]:
        """Return what each layer's gate makes of the condition."""
        return self.conditions.weight.view(len(self.gates), -1, self.config.channels)

    def _layers(
        self,
        x: Float[Tensor, "B S C"],
        known: Float[Tensor, "_ _ C"] | None,
        keys: Int[Tensor, "B"],
    ) -> Float[Tensor, "B S skip"]:
        """Return the hidden columns that the heads read."""
        C, skip = self.config.channels, self.skip_bias
        hidden = self.config.dropout if self.training else 0.0
        for i, dilation in enumerate(self.config.dilations):
            seen = dropout(x, hidden, keys, f"wavenet.{i}")
            past = F.pad(seen, (0, 0, dilation, 0))[:, : x.shape[1]]
            gate = self.gates[i](torch.cat((past, seen), dim=2))
            if known is not None:
                gate = gate + F.linear(known, self.condition_weights()[i])
            out = self.outs[i](gate[..., :C].tanh() * gate[..., C:].sigmoid())
            x = x + out[..., :C]
            skip = skip + out[..., C:]
        return self.last(skip.relu()).relu()  # type: ignore[no-any-return]
