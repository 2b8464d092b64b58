"""WaveNet over code sequences: gated dilated causal convolutions."""

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from audiovq.config import Factor
from audiovq.prior._base import Condition
from audiovq.prior._columns import ColumnPrior, in_columns
from audiovq.prior._condition import NOTHING, ConditionConfig
from audiovq.prior._dropout import dropout
from audiovq.prior._rows import Heads
from audiovq.prior._wavenet_blocks import WaveNetBlocks, rows_at_once
from audiovq.prior._wavenet_steps import WaveNetSteps
from audiovq.prior._wavenet_weights import fuse


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


class WaveNet(ColumnPrior):
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
        super().__init__(config, codebook_sizes, labels, config.channels)
        self.config = config
        self.context = sum(config.dilations) + len(codebook_sizes)
        C, layers = config.channels, len(config.dilations)
        if labels or self.conditioner.local:
            self.conditions = nn.Linear(C, layers * 2 * C, bias=False)
        self.gates = nn.ModuleList(nn.Linear(2 * C, 2 * C) for _ in range(layers))
        wide = C + config.skip_channels
        self.outs = nn.ModuleList(nn.Linear(C, wide, bias=False) for _ in range(layers))
        self.skip_bias = nn.Parameter(torch.zeros(config.skip_channels))
        self.last = nn.Linear(config.skip_channels, config.skip_channels)
        self.heads = Heads(codebook_sizes, config.skip_channels)

    def log_prob(
        self,
        codes: Int[Tensor, "B K T"],
        lengths: Int[Tensor, "B"] | None = None,
        condition: Condition = NOTHING,
    ) -> Float[Tensor, "B K T"]:
        """Return what the base class does; faster where no gradient is asked for."""
        if self.training or torch.is_grad_enabled():
            return super().log_prob(codes, lengths, condition)
        weights, rows = fuse(self), rows_at_once(codes.device)
        size = min(rows, codes.shape[2])
        return in_columns(
            self,
            lambda batch: WaveNetBlocks(weights, self.config.dilations, batch, size + self.ahead),
            codes,
            lengths,
            condition,
            many=max(1, rows // size),
            size=size,
        )

    def steps(self, batch: int, frames: int, condition: Condition = NOTHING) -> WaveNetSteps:
        """Begin sequences of at most so many frames; state as long as the dilations' sum."""
        return WaveNetSteps(self, batch, frames, condition)

    def condition_weights(self) -> Float[Tensor, "layers C2 C"]:
        """Return what each layer's gate makes of the condition."""
        return self.conditions.weight.view(len(self.gates), -1, self.config.channels)

    def hidden(
        self,
        x: Float[Tensor, "B S C"],
        known: Float[Tensor, "_ _ C"] | None,
        keys: Int[Tensor, "B"],
    ) -> Float[Tensor, "B S skip"]:
        """Run all layers over whole sequences; draws in training derive from the keys."""
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
