"""Gated PixelCNN over the grid of frames and codebooks."""

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from audiovq.config import Factor
from audiovq.prior._base import Condition, Place, Prior
from audiovq.prior._condition import NOTHING, ConditionConfig, Conditioner, keys_of
from audiovq.prior._dropout import dropout
from audiovq.prior._gates import gated
from audiovq.prior._pixelcnn_steps import PixelCNNSteps
from audiovq.prior._rows import Heads, Rows, inside_of


class Config(ConditionConfig):
    """Settings of the gated PixelCNN."""

    channels: int = Field(64, ge=1, le=4096, description="channels of every layer of both stacks")
    dilations: tuple[Factor, ...] = Field(
        (1, 2, 4, 8, 1, 2, 4, 8),
        min_length=1,
        max_length=64,
        description="one layer each, in frames; the prior looks back over their sum and one more",
    )
    dropout: float = Field(
        0.2, ge=0, lt=1, description="probability that training hides an input of a layer"
    )


class PixelCNN(Prior):
    """Masked two-dimensional gated convolutions in two stacks, so that there is no blind spot.

    Codes are drawn frame by frame, in a frame row by row. The vertical stack tells of all rows of
    the frames before, the horizontal one of the rows before in the same frame; the first layer of
    each reaches every row. With D the sum of the dilations, a code depends on exactly the rows
    before it in its frame and all rows of the `context` = D + 1 frames before (on each of them if
    no dilation is larger than those of the other layers up to its size, and 1, together).

    Source: van den Oord et al. 2016 (arXiv:1606.05328), sections 2.1 to 2.3. Differs in: frames
    are dilated, as in a WaveNet; both stacks have residual connections, and skip connections lead
    to one head per row; a row has a bias of its own, since codebooks are no translations of each
    other.
    """

    def __init__(self, config: Config, codebook_sizes: tuple[int, ...], labels: int = 0) -> None:
        super().__init__()
        self.config = config
        self.codebook_sizes = tuple(codebook_sizes)
        self.labels = labels
        self.context = sum(config.dilations) + 1
        C, K = config.channels, len(codebook_sizes)
        self.rows = Rows(codebook_sizes, C)
        self.conditioner = Conditioner(config, labels, C)
        self.above = nn.Conv2d(C, C, (1, 2 * K - 1), padding=(0, K - 1), bias=False)
        self.left = nn.Conv2d(C, C, (1, K - 1), bias=False) if K > 1 else None
        self.above_bias = nn.Parameter(torch.zeros(C, 1, K))
        self.left_bias = nn.Parameter(torch.zeros(C, 1, K))
        conditioned = bool(labels) or self.conditioner.local
        ends = [False] * (len(config.dilations) - 1) + [True]
        layers = [
            Layer(C, K, dilation, conditioned=conditioned, last=last)
            for dilation, last in zip(config.dilations, ends, strict=True)
        ]
        self.layers = cast("Sequence[Layer]", nn.ModuleList(layers))
        self.skip_bias = nn.Parameter(torch.zeros(C, 1, 1))
        self.heads = Heads(codebook_sizes, C)

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
        before = self.rows.later(entries, [1] * K, T)
        v = self.above(self.embed(before)) + self.above_bias
        h = self.beside(self.embed(entries))
        known = self.conditioner(condition, T, inside)
        if known is not None:
            known = known.transpose(1, 2).unsqueeze(3)
        hidden, keys = self.config.dropout if self.training else 0.0, keys_of(condition, codes)
        skip: Tensor = self.skip_bias
        for i, layer in enumerate(self.layers):
            seen_v = _drop(v, hidden, keys, f"pixelcnn.above.{i}")
            seen_h = _drop(h, hidden, keys, f"pixelcnn.left.{i}")
            gate_v = layer.vertical(_pad(seen_v, layer.dilation, layer.reach), known)
            gate_h = layer.gate_h(F.pad(seen_h, (1, 0))) + layer.down(gate_v)
            more, aside = layer.out(gated(gate_h)).chunk(2, dim=1)
            h, skip = h + more, skip + aside
            if layer.out_v is not None:
                v = v + layer.out_v(gated(gate_v))
        read = skip.relu().permute(0, 3, 2, 1)  # (B, K, T, C)
        return torch.stack([self.heads(read[:, k], k) for k in range(K)], dim=1)

    def groups(self, frames: int) -> Iterator[Sequence[Place]]:
        """Yield code by code: frame after frame, in a frame row after row."""
        for t in range(frames):
            for k in range(self.num_codebooks):
                yield [(k, t)]

    def steps(self, batch: int, frames: int, condition: Condition = NOTHING) -> PixelCNNSteps:
        """Begin sequences of at most so many frames; state as long as the dilations' sum."""
        return PixelCNNSteps(self, batch, frames, condition)

    def embed(self, entries: Int[Tensor, "B K T"]) -> Float[Tensor, "B C T K"]:
        """Return the vectors of codes, given as entries of the rows' table."""
        return self.rows.table(entries).permute(0, 3, 2, 1)  # type: ignore[no-any-return]

    def beside(self, e: Float[Tensor, "B C T K"]) -> Float[Tensor, "B C T K"]:
        """Return what the horizontal stack begins with: each code's rows before it."""
        if self.left is None:
            return self.left_bias.expand_as(e)
        return self.left(F.pad(e, (e.shape[3] - 1, -1))) + self.left_bias  # type: ignore[no-any-return]


class Layer(nn.Module):
    """One layer of both stacks; the horizontal gate hears the vertical one, conditions included.

    The last layer has nothing above it in the vertical stack.
    """

    def __init__(
        self, channels: int, rows: int, dilation: int, *, conditioned: bool, last: bool
    ) -> None:
        super().__init__()
        self.dilation = dilation
        self.reach = 1 if rows > 1 else 0  # rows to either side
        C = channels
        self.gate_v = nn.Conv2d(C, 2 * C, (2, 2 * self.reach + 1))
        self.gate_h = nn.Conv2d(C, 2 * C, (1, 2))
        self.down = nn.Conv2d(2 * C, 2 * C, 1, bias=False)
        self.condition = nn.Conv2d(C, 2 * C, 1, bias=False) if conditioned else None
        self.out_v = None if last else nn.Conv2d(C, C, 1, bias=False)
        self.out = nn.Conv2d(C, 2 * C, 1, bias=False)  # residual and skip

    def vertical(
        self,
        v: Float[Tensor, "B C _ _"],
        known: Float[Tensor, "_ C _ 1"] | None,
        dilation: int | None = None,
    ) -> Float[Tensor, "B C2 T K"]:
        """Return the vertical gate of a padded stack, the layer's dilation unless told."""
        far = (dilation or self.dilation, 1)
        gate = F.conv2d(v, self.gate_v.weight, self.gate_v.bias, dilation=far)
        return gate if known is None or self.condition is None else gate + self.condition(known)


def _pad(v: Float[Tensor, "B C T K"], front: int, sides: int) -> Float[Tensor, "B C _ _"]:
    return F.pad(v, (sides, sides, front, 0))


def _drop(
    x: Float[Tensor, "B C T K"], probability: float, keys: Int[Tensor, "B"], name: str
) -> Float[Tensor, "B C T K"]:
    if probability == 0.0:
        return x
    return dropout(x.permute(0, 2, 3, 1), probability, keys, name).permute(0, 3, 1, 2)
