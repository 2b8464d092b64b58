"""Grouped vector quantizer: channels in groups, each with a codebook of its own."""

from collections.abc import Sequence
from typing import cast

import torch
from einops import rearrange
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from audiovq.bottlenecks import _codebook as codebook
from audiovq.bottlenecks._base import BottleneckOutput, Context, DiscreteBottleneck, Statistics
from audiovq.bottlenecks._ema import EMACodebook, EMAConfig
from audiovq.bottlenecks._estimators import ESTIMATORS
from audiovq.bottlenecks._health import over_rows
from audiovq.bottlenecks._jitter import jitter, keys_of
from audiovq.errors import ConfigError


class Config(EMAConfig):
    """Settings of the grouped vector quantizer."""

    dim: int = Field(64, ge=1, le=4096, description="code dimension D, over all groups")
    num_codebooks: int = Field(4, ge=1, le=64, description="groups K, each D / K channels wide")

    @model_validator(mode="after")
    def _divides(self) -> "Config":
        if self.dim % self.num_codebooks:
            raise ValueError(f"num_codebooks={self.num_codebooks} must divide dim={self.dim}")
        return self


class GVQ(DiscreteBottleneck):
    """Replace each group of a frame's channels by the nearest code of the group's own codebook.

    Source: product quantization (Jégou et al. 2011) as in vq-wav2vec (Baevski et al. 2020,
    arXiv:1910.05453), section 3.3, with a codebook per group; codebooks as in `EMACodebook`.
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
                EMACodebook(config, config.codebook_size, config.dim // config.num_codebooks)
                for _ in range(config.num_codebooks)
            ),
        )

    @property
    def layout(self) -> tuple[str, ...]:
        """What each row of codes holds."""
        return tuple(f"group {k}" for k in range(len(self.codebook_sizes)))

    def forward(self, z: Float[Tensor, "B D T"], context: Context = Context()) -> BottleneckOutput:
        """Quantise each group of channels to its nearest code.

        Returns:
            z: the code vectors. loss: commitment_weight times the mean squared distance. codes: a
            row per group. metrics: `quantization_error`, the summed distance without the weight.
        """
        B, _, T = z.shape
        real = None if context.mask is None else context.mask.flatten()
        groups = self._groups(z)
        drawn = codebook.draw(keys_of(context, z), T, real, self.config.candidates, "revival")
        each = [
            layer(rows, real, drawn) for layer, rows in zip(self.codebooks, groups, strict=True)
        ]
        rows, z_q = torch.cat(groups, dim=1), torch.cat([q.z_q for q in each], dim=1)
        passed = ESTIMATORS[self.config.estimator](rows, z_q)
        error = torch.stack([q.error for q in each]).mean(dim=0).view(B, T)
        quantised = rearrange(passed, "(b t) d -> b d t", b=B)
        return BottleneckOutput(
            z=jitter(quantised, self.config.jitter if self.training else 0.0, context),
            loss=self.config.commitment_weight * error,
            codes=rearrange([q.codes for q in each], "k (b t) -> b k t", b=B),
            statistics=Statistics.nest({str(k): q.statistics for k, q in enumerate(each)}),
            metrics={"quantization_error": error.detach().sum(dim=1)},
        )

    def encode(
        self, z: Float[Tensor, "B D T"], context: Context = Context()
    ) -> Int[Tensor, "B K T"]:
        """Return the index of each group's nearest code, in [0, N); 0 where masked."""
        real = None if context.mask is None else context.mask.flatten()
        each = zip(self.codebooks, self._groups(z), strict=True)
        codes = [layer.search(rows, real) for layer, rows in each]
        return rearrange(codes, "k (b t) -> b k t", b=z.shape[0])

    def decode(self, codes: Int[Tensor, "B K T"]) -> Float[Tensor, "B D T"]:
        """Return the code vectors of all groups.

        Raises:
            ConfigError: not all groups are there; a group's channels come from no other.
        """
        if codes.shape[1] != len(self.codebooks):
            raise ConfigError(
                f"codes of {codes.shape[1]} groups given; gvq needs all {len(self.codebooks)}"
            )
        rows = zip(self.codebooks, codes.unbind(dim=1), strict=True)
        z_q = torch.cat([layer.vectors[row.flatten()] for layer, row in rows], dim=1)
        return rearrange(z_q, "(b t) d -> b d t", b=codes.shape[0])

    @torch.no_grad()
    def initialise(self, z: Float[Tensor, "B D T"], context: Context = Context()) -> None:
        """Set each group's codebook to k-means centres of its channels."""
        for layer, rows in zip(self.codebooks, self._groups(z), strict=True):
            layer.initialise(rows if context.mask is None else rows[context.mask.flatten()])

    def update(self, statistics: Statistics) -> None:
        """Move each codebook towards its frames of a step, and revive dead codes."""
        for k, layer in enumerate(self.codebooks):
            layer.update(statistics.part(str(k)))

    def estimate(self, statistics: Statistics) -> None:
        """Set each code to the mean of its frames; see `EMACodebook.estimate`."""
        for k, layer in enumerate(self.codebooks):
            layer.estimate(statistics.part(str(k)))

    def describe(self, statistics: Statistics) -> dict[str, float]:
        """Return what `EMACodebook.describe` does, per group and together."""
        return over_rows(
            [layer.describe(statistics.part(str(k))) for k, layer in enumerate(self.codebooks)]
        )

    def _groups(self, z: Float[Tensor, "B D T"]) -> list[Tensor]:
        """Return the rows of each group."""
        rows = rearrange(z, "b d t -> (b t) d").to(self.codebooks[0].ema_sum.dtype)
        return [g.contiguous() for g in rows.chunk(len(self.codebooks), dim=1)]
