"""Residual vector quantizer: each codebook quantises what the ones before it left over."""

from collections.abc import Sequence
from typing import cast

import torch
from einops import rearrange
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from audiovq.bottlenecks import _codebook as codebook
from audiovq.bottlenecks._base import BottleneckOutput, Context, DiscreteBottleneck, Statistics
from audiovq.bottlenecks._ema import EMACodebook, EMAConfig
from audiovq.bottlenecks._estimators import ESTIMATORS
from audiovq.bottlenecks._health import over_rows
from audiovq.bottlenecks._jitter import jitter, keys_of
from audiovq.nn import random


class Config(EMAConfig):
    """Settings of the residual vector quantizer."""

    dim: int = Field(64, ge=1, le=4096, description="code dimension D")
    num_codebooks: int = Field(4, ge=1, le=64, description="codebooks K, coarse to fine")
    dropout: float = Field(
        0.5, ge=0, le=1, description="share of training items that use only the first few codebooks"
    )


class RVQ(DiscreteBottleneck):
    """Sum of K codes per frame, each the nearest to what the codes before it left over.

    Source: SoundStream (Zeghidour et al. 2021, arXiv:2107.03312), section III.C, quantizer dropout
    included; an item keeps its full depth with probability 1 - dropout, as in DAC (Kumar et al.
    2023). Differs in: codebooks as in `EMACodebook`; the residual is detached from the codes
    already taken, so each codebook's commitment reaches the encoder, and the decoder's gradient
    passes once and not K times; dropout decides what the decoder and the loss see, while every
    codebook learns from every frame. The first k rows of codes decode without the rest.
    """

    estimates = True

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.in_channels = self.out_channels = config.dim
        self.codebook_sizes = (config.codebook_size,) * config.num_codebooks
        self.codebooks = cast(
            "Sequence[EMACodebook]",
            nn.ModuleList(
                EMACodebook(config, config.codebook_size, config.dim)
                for _ in range(config.num_codebooks)
            ),
        )

    def forward(self, z: Float[Tensor, "B D T"], context: Context = Context()) -> BottleneckOutput:
        """Quantise each frame K times, each time what is left.

        Returns:
            z: the sum of the codes an item uses. loss: commitment_weight times the mean squared
            distance left after each used codebook, summed. codes: all K rows, used or not.
            metrics: `quantization_error`, the summed distance left at the end.
        """
        B, _, T = z.shape
        real = None if context.mask is None else context.mask.flatten()
        rows = self._rows(z)
        depth = self._depth(context, z)
        drawn = codebook.draw(keys_of(context, z), T, real, self.config.candidates, "revival")
        residual, z_q, loss = rows, torch.zeros_like(rows), rows.new_zeros(len(rows))
        codes, parts = [], {}
        for k, layer in enumerate(self.codebooks):
            q = layer(residual, real, drawn)
            residual = residual - q.z_q
            used = None if depth is None else depth > k
            z_q = z_q + (q.z_q if used is None else q.z_q * used.unsqueeze(1))
            loss = loss + (q.error if used is None else q.error * used)
            codes.append(q.codes)
            parts[str(k)] = q.statistics
        left = residual.detach().square().mean(dim=1)
        left = left if real is None else torch.where(real, left, 0.0)
        passed = ESTIMATORS[self.config.estimator](rows, z_q)
        quantised = rearrange(passed, "(b t) d -> b d t", b=B)
        return BottleneckOutput(
            z=jitter(quantised, self.config.jitter if self.training else 0.0, context),
            loss=self.config.commitment_weight * loss.view(B, T),
            codes=rearrange(codes, "k (b t) -> b k t", b=B),
            statistics=Statistics.nest(parts),
            metrics={"quantization_error": left.view(B, T).sum(dim=1)},
        )

    def encode(
        self, z: Float[Tensor, "B D T"], context: Context = Context()
    ) -> Int[Tensor, "B K T"]:
        """Return each frame's K codes, coarse to fine, in [0, N); 0 where masked."""
        real = None if context.mask is None else context.mask.flatten()
        residual, codes = self._rows(z), []
        for layer in self.codebooks:
            vectors = layer.vectors
            codes.append(layer.search(residual, real, vectors))
            residual = residual - vectors.index_select(0, codes[-1])
        B, _, T = z.shape
        return torch.stack(codes).view(-1, B, T).transpose(0, 1)

    def decode(self, codes: Int[Tensor, "B K T"]) -> Float[Tensor, "B D T"]:
        """Return the sum of the codes; the first rows of codes suffice."""
        total: Tensor | None = None
        for layer, row in zip(self.codebooks, codes.unbind(dim=1), strict=False):
            taken = layer.vectors.index_select(0, row.flatten())
            total = taken if total is None else total + taken
        assert total is not None
        B, _, T = codes.shape
        return total.view(B, T, -1).transpose(1, 2)

    @torch.no_grad()
    def initialise(self, z: Float[Tensor, "B D T"], context: Context = Context()) -> None:
        """Set each codebook to k-means centres of what the ones before it leave over."""
        rows = self._rows(z)
        residual = rows if context.mask is None else rows[context.mask.flatten()]
        for layer in self.codebooks:
            layer.initialise(residual)
            vectors = layer.vectors
            residual = residual - vectors.index_select(0, layer.search(residual, None, vectors))

    def update(self, statistics: Statistics) -> None:
        """Move each codebook towards its frames of a step, and revive dead codes."""
        for k, layer in enumerate(self.codebooks):
            layer.update(statistics.part(str(k)))

    def estimate(self, statistics: Statistics) -> None:
        """Set each code to the mean of its frames; see `EMACodebook.estimate`."""
        for k, layer in enumerate(self.codebooks):
            layer.estimate(statistics.part(str(k)))

    def describe(self, statistics: Statistics) -> dict[str, float]:
        """Return what `EMACodebook.describe` does, per codebook and together.

        Together, relative_error is what all codebooks leave over of the frames' variance.
        """
        each = [layer.describe(statistics.part(str(k))) for k, layer in enumerate(self.codebooks)]
        first, last = (statistics.part(str(k)).sums["error"] for k in (0, len(each) - 1))
        share = float(last.double() / first.double().clamp_min(1e-30))
        return {**over_rows(each), "relative_error": each[0]["relative_error"] * share}

    def _depth(self, context: Context, z: Float[Tensor, "B D T"]) -> Int[Tensor, "R"] | None:
        """Return how many codebooks each frame's item uses in training; None: all, everywhere."""
        if not self.training or self.config.dropout == 0.0:
            return None
        keys, K = keys_of(context, z), self.config.num_codebooks
        shallow = random.uniform(keys, "quantizer dropout", 1) < self.config.dropout
        drawn = 1 + (random.uniform(keys, "quantizer depth", 1) * K).long()
        return torch.where(shallow, drawn, K).expand(-1, z.shape[-1]).flatten()

    def _rows(self, z: Float[Tensor, "B D T"]) -> Float[Tensor, "R D"]:
        return z.transpose(1, 2).flatten(0, 1).to(self.codebooks[0].ema_sum.dtype)
