"""Finite scalar quantizer: every channel is rounded to one of a few levels."""

import math
from typing import Annotated

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
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
        B, _, T = z.shape
        real = None if context.mask is None else context.mask.flatten()
        bounded = self._bound(z)
        half = self._half(bounded)
        rounded = bounded.detach().round()
        codes = self._codes(rounded, real)
        passed = straight_through(bounded / half, rounded / half)
        counts = codebook.count(codes, self.codebook_sizes[0], real)
        levels = rearrange(passed, "(b t) d -> b d t", b=B)
        return BottleneckOutput(
            z=jitter(levels, self.config.jitter if self.training else 0.0, context),
            loss=bounded.new_zeros(B, T),
            codes=codes.view(B, 1, T),
            statistics=Statistics(sums={"count": counts}),
        )

    def encode(
        self, z: Float[Tensor, "B D T"], context: Context = Context()
    ) -> Int[Tensor, "B K T"]:
        """Return each frame's place in the grid, in [0, N); 0 where masked."""
        real = None if context.mask is None else context.mask.flatten()
        return self._codes(self._bound(z).round(), real).view(len(z), 1, -1)

    def decode(self, codes: Int[Tensor, "B K T"]) -> Float[Tensor, "B D T"]:
        """Return the levels of each channel, in [-1, 1]."""
        half = self._half(codes)
        digits, rest = [], codes[:, 0]
        for size in self.config.levels:
            digits.append(rest % size)
            rest = torch.div(rest, size, rounding_mode="floor")
        return (torch.stack(digits, dim=1) - half.unsqueeze(1)) / half.unsqueeze(1)

    def initialise(self, z: Float[Tensor, "B D T"], context: Context = Context()) -> None:
        """Whiten encoder output, so that every channel starts by using its levels."""
        rows = rearrange(z, "b d t -> (b t) d")
        self.whiten.initialise(rows if context.mask is None else rows[context.mask.flatten()])

    def describe(self, statistics: Statistics) -> dict[str, float]:
        """Return perplexity in [1, N] and usage in [0, 1]."""
        return describe_counts(statistics.sums["count"])

    def _half(self, like: Tensor) -> Float[Tensor, "D"]:
        """Return how many levels each channel has on the lower side of its middle."""
        half = [size // 2 for size in self.config.levels]
        return torch.tensor(half, dtype=self.whiten.mean.dtype, device=like.device)

    def _bound(self, z: Float[Tensor, "B D T"]) -> Float[Tensor, "R D"]:
        """Return frames squeezed into as many integers as there are levels, before rounding."""
        rows = self.whiten(rearrange(z, "b d t -> (b t) d"))
        # A little more than the range, so that rounding reaches the outer levels.
        reach = [(size - 1) * (1 + 1e-3) / 2 for size in self.config.levels]
        offset = [0.5 if size % 2 == 0 else 0.0 for size in self.config.levels]
        shift = [math.atanh(o / r) for o, r in zip(offset, reach, strict=True)]
        by = {"dtype": rows.dtype, "device": rows.device}
        bounded: Tensor = (rows + torch.tensor(shift, **by)).tanh()
        return torch.addcmul(-torch.tensor(offset, **by), bounded, torch.tensor(reach, **by))

    def _codes(
        self, rounded: Float[Tensor, "R D"], real: Bool[Tensor, "R"] | None
    ) -> Int[Tensor, "R"]:
        """Return the number that the rounded levels make; products of float32 are exact there."""
        levels = self.config.levels
        places = [float(math.prod(levels[:i])) for i in range(len(levels))]
        lowest = sum(p * (size // 2) for p, size in zip(places, levels, strict=True))
        with without_autocast(rounded.device):
            number = rounded @ torch.tensor(places, dtype=rounded.dtype, device=rounded.device)
        codes = number.nan_to_num().long() + int(lowest)
        return codes if real is None else torch.where(real, codes, 0)
