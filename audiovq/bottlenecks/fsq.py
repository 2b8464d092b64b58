"""Finite scalar quantizer: every channel is rounded to one of a few levels."""

import math
from typing import Annotated

import torch
from einops import rearrange
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor

from audiovq.bottlenecks import _codebook as codebook
from audiovq.bottlenecks._base import BottleneckOutput, Context, DiscreteBottleneck, Statistics
from audiovq.bottlenecks._estimators import straight_through
from audiovq.bottlenecks._health import describe_counts
from audiovq.bottlenecks._jitter import JitterConfig, jitter
from audiovq.bottlenecks._whiten import Whiten

_MOST_CODES = 1 << 24


class Config(JitterConfig):
    """Settings of the finite scalar quantizer."""

    levels: tuple[Annotated[int, Field(ge=3, le=1024)], ...] = Field(
        (8, 8, 8),
        min_length=1,
        max_length=24,
        description="levels of each channel, N = their product; channels of 2 levels: see lfq",
    )
    codebook_size: int | None = Field(
        None, description="number of codes N, if one wants to be told when levels do not make it"
    )

    @model_validator(mode="after")
    def _product(self) -> "Config":
        size = math.prod(self.levels)
        if self.codebook_size not in (None, size):
            raise ValueError(
                f"levels {list(self.levels)} make {size} codes, codebook_size={self.codebook_size} "
                f"was asked for; leave codebook_size out, or choose levels of that product"
            )
        if size > _MOST_CODES:
            raise ValueError(f"levels {list(self.levels)} make {size} codes; {_MOST_CODES} at most")
        return self


class FSQ(DiscreteBottleneck):
    """Bound each channel by a tanh and round it; the grid of all levels is the codebook.

    There is no codebook to learn or to collapse, and no loss.

    Source: Mentzer et al. 2023 (arXiv:2309.15505), section 3.1 and appendix A. The channels are
    the encoder's last convolution's, so no further projection is needed. Differs in: encoder
    output is whitened once, at the start.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.in_channels = self.out_channels = len(config.levels)
        self.codebook_sizes = (math.prod(config.levels),)
        self.whiten = Whiten(len(config.levels))

    def forward(self, z: Float[Tensor, "B D T"], context: Context = Context()) -> BottleneckOutput:
        """Round each channel.

        Returns:
            z: levels in [-1, 1], with the gradient of the bounded channels. loss: 0. codes: in
            [0, N).
        """
        bounded = self._bound(z)
        codes = self._mask(self._codes(bounded), context)
        passed = straight_through(bounded / (self._sizes(z) // 2), self.decode(codes))
        loss = (bounded.detach() * 0.0).sum(dim=1)  # 0, or NaN where z is, which is rounded away
        if context.mask is not None:
            loss = torch.where(context.mask.squeeze(1), loss, 0.0)
        real = None if context.mask is None else context.mask.flatten()
        counts = codebook.count(codes.flatten(), self.codebook_sizes[0], real)
        return BottleneckOutput(
            z=jitter(passed, self.config.jitter if self.training else 0.0, context),
            loss=loss,
            codes=codes,
            statistics=Statistics(sums={"count": counts}),
        )

    def encode(
        self, z: Float[Tensor, "B D T"], context: Context = Context()
    ) -> Int[Tensor, "B K T"]:
        """Return each frame's place in the grid, in [0, N); 0 where masked."""
        return self._mask(self._codes(self._bound(z)), context)

    def decode(self, codes: Int[Tensor, "B K T"]) -> Float[Tensor, "B D T"]:
        """Return the levels of each channel, in [-1, 1]."""
        sizes = self._sizes(codes)
        half = (sizes // 2).to(self.whiten.mean.dtype)
        return (codes // self._places(codes) % sizes - half) / half

    def initialise(self, z: Float[Tensor, "B D T"], context: Context = Context()) -> None:
        """Whiten encoder output, so that every channel starts by using its levels."""
        rows = rearrange(z, "b d t -> (b t) d")
        self.whiten.initialise(rows if context.mask is None else rows[context.mask.flatten()])

    def describe(self, statistics: Statistics) -> dict[str, float]:
        """Return perplexity in [1, N] and usage in [0, 1]."""
        return describe_counts(statistics.sums["count"])

    def _sizes(self, like: Tensor) -> Int[Tensor, "1 D 1"]:
        """Return the levels of each channel."""
        return torch.tensor(self.config.levels, device=like.device).view(1, -1, 1)

    def _places(self, like: Tensor) -> Int[Tensor, "1 D 1"]:
        """Return what one step of each channel adds to the code."""
        levels = self.config.levels
        places = [math.prod(levels[:i]) for i in range(len(levels))]
        return torch.tensor(places, device=like.device).view(1, -1, 1)

    def _bound(self, z: Float[Tensor, "B D T"]) -> Float[Tensor, "B D T"]:
        """Return z squeezed into as many integers as there are levels, before rounding."""
        z = rearrange(self.whiten(rearrange(z, "b d t -> (b t) d")), "(b t) d -> b d t", b=len(z))
        sizes = self._sizes(z)
        half = (sizes - 1) * (1 + 1e-3) / 2  # a little more, so that the outer levels are reached
        offset = torch.where(sizes % 2 == 0, 0.5, 0.0)
        return (z + (offset / half).atanh()).tanh() * half - offset

    def _codes(self, bounded: Float[Tensor, "B D T"]) -> Int[Tensor, "B 1 T"]:
        levels = bounded.detach().nan_to_num().round().long() + self._sizes(bounded) // 2
        return (levels * self._places(bounded)).sum(dim=1, keepdim=True)

    @staticmethod
    def _mask(codes: Int[Tensor, "B 1 T"], context: Context) -> Int[Tensor, "B 1 T"]:
        return codes if context.mask is None else torch.where(context.mask, codes, 0)
