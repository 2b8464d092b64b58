"""Finite scalar quantizer: every channel is rounded to one of a few levels."""

import math
from collections.abc import Sequence
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
from audiovq.nn.precision import without_autocast

_MOST_CODES = 1 << 24  # up to here float32 counts exactly


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
        rounded, half = bounded.detach().round(), self._half(bounded)
        codes = self._codes(rounded, context)
        levels = straight_through(bounded / half, rounded / half)
        real = None if context.mask is None else context.mask.flatten()
        counts = codebook.count(codes.flatten(), self.codebook_sizes[0], real)
        return BottleneckOutput(
            z=jitter(levels, self.config.jitter if self.training else 0.0, context),
            loss=bounded.new_zeros(z.shape[0], z.shape[2]),
            codes=codes,
            statistics=Statistics(sums={"count": counts}),
        )

    def encode(
        self, z: Float[Tensor, "B D T"], context: Context = Context()
    ) -> Int[Tensor, "B K T"]:
        """Return each frame's place in the grid, in [0, N); 0 where masked."""
        return self._codes(self._bound(z).round(), context)

    def decode(self, codes: Int[Tensor, "B K T"]) -> Float[Tensor, "B D T"]:
        """Return the levels of each channel, in [-1, 1]."""
        size = self.codebook_sizes[0]
        # A table of all codes is cheaper than dividing again and again.
        if not torch.compiler.is_exporting() and size <= codes.numel():
            table = self._levels(torch.arange(size, device=codes.device).view(1, 1, -1))
            rows = table[0].T.contiguous().index_select(0, codes.flatten())
            return rearrange(rows, "(b t) d -> b d t", b=codes.shape[0])
        return self._levels(codes)

    def initialise(self, z: Float[Tensor, "B D T"], context: Context = Context()) -> None:
        """Whiten encoder output, so that every channel starts by using its levels."""
        self.whiten.initialise(z, context.mask)

    def describe(self, statistics: Statistics) -> dict[str, float]:
        """Return perplexity in [1, N] and usage in [0, 1]."""
        return describe_counts(statistics.sums["count"])

    def _half(self, like: Tensor) -> Float[Tensor, "1 D 1"]:
        """Return how many levels each channel has on the lower side of its middle."""
        return self._column([float(size // 2) for size in self.config.levels], like)

    def _levels(self, codes: Int[Tensor, "B 1 T"]) -> Float[Tensor, "B D T"]:
        """Return the levels that make each code, digit by digit."""
        digits, rest = [], codes
        for size in self.config.levels:
            digits.append(rest % size)
            rest = rest // size
        half = self._half(codes)
        return (torch.cat(digits, dim=1) - half) / half

    def _bound(self, z: Float[Tensor, "B D T"]) -> Float[Tensor, "B D T"]:
        """Return frames squeezed into as many integers as there are levels, before rounding."""
        # A little more than the range, so that rounding reaches the outer levels.
        reach = [(size - 1) * (1 + 1e-3) / 2 for size in self.config.levels]
        offset = [0.5 if size % 2 == 0 else 0.0 for size in self.config.levels]
        shift = [math.atanh(o / r) for o, r in zip(offset, reach, strict=True)]
        bounded: Tensor = (self.whiten(z) + self._column(shift, z)).tanh()
        return bounded * self._column(reach, z) - self._column(offset, z)

    def _codes(self, rounded: Float[Tensor, "B D T"], context: Context) -> Int[Tensor, "B 1 T"]:
        """Return the number that rounded levels make; float32 counts exactly that far."""
        levels = self.config.levels
        places = [math.prod(levels[:i]) for i in range(len(levels))]
        lowest = sum(p * (size // 2) for p, size in zip(places, levels, strict=True))
        with without_autocast(rounded.device):
            number = self._column([float(p) for p in places], rounded).view(1, -1) @ rounded
        codes = number.nan_to_num().long() + lowest
        return codes if context.mask is None else torch.where(context.mask, codes, 0)

    def _column(self, values: Sequence[float], like: Tensor) -> Float[Tensor, "1 D 1"]:
        """Return one value per channel."""
        dtype = self.whiten.mean.dtype
        return torch.tensor(values, dtype=dtype, device=like.device).view(1, -1, 1)
