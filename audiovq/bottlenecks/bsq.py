"""Binary spherical quantizer: signs of a frame on the unit sphere."""

import math

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from audiovq.bottlenecks import _binary as binary
from audiovq.bottlenecks import _codebook as codebook
from audiovq.bottlenecks._base import BottleneckOutput, Context, DiscreteBottleneck, Statistics
from audiovq.bottlenecks._estimators import straight_through
from audiovq.bottlenecks._health import describe_counts
from audiovq.bottlenecks._jitter import JitterConfig, jitter
from audiovq.bottlenecks._whiten import Whiten


class Config(JitterConfig):
    """Settings of the binary spherical quantizer."""

    bits: int = Field(9, ge=1, le=20, description="bits per frame; N = 2^bits codes")
    entropy_weight: float = Field(0.1, ge=0, description="weight of both entropies (nats)")
    diversity: float = Field(
        1.0, ge=0, description="weight of the bits' entropy over frames beside that of one frame"
    )
    temperature: float = Field(
        0.1, gt=0, description="softness of the codes whose entropies count; 0.01 in the paper"
    )
    decay: float = Field(0.99, ge=0, lt=1, description="of the running mean of each soft bit")


class BSQ(DiscreteBottleneck):
    """Project a frame onto the unit sphere and take the corner of the hypercube in its direction.

    loss = entropy_weight * (E[H(code | frame)] - diversity * sum_k H(E[bit k]))

    The distance to the code is bounded by geometry, so there is no commitment term.

    Source: Zhao et al. 2024 (arXiv:2406.07548), section 4.1 and 4.2, with the paper's factorised
    second entropy. Differs in: it is of the running mean over all frames, linearised, so that it
    does not depend on how a batch is cut; encoder output is whitened once, at the start.

    Buffers:
        mean (D): running mean of each bit's probability to be 1.
    """

    mean: Float[Tensor, "D"]

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.in_channels = self.out_channels = config.bits
        self.codebook_sizes = (1 << config.bits,)
        self.whiten = Whiten(config.bits)
        self.register_buffer("mean", torch.full((config.bits,), 0.5))

    @property
    def layout(self) -> tuple[str, ...]:
        """What each row of codes holds."""
        return (f"{self.config.bits} signs, first highest",)

    def forward(self, z: Float[Tensor, "B D T"], context: Context = Context()) -> BottleneckOutput:
        """Take the signs of a frame.

        Returns:
            z: corners of the hypercube, of length 1. loss: entropies. codes: in [0, 2^bits).
            metrics: `quantization_error`, the summed mean squared distance on the sphere.
        """
        unit = self._unit(z)
        codes = binary.to_codes(unit, context.mask)
        z_q = self.decode(codes)
        logits = 4.0 * unit / (math.sqrt(self.config.bits) * self.config.temperature)
        soft = logits.sigmoid()
        slope = binary.entropy_slope(self.mean).view(1, -1, 1)
        slope_not = binary.entropy_slope(1 - self.mean).view(1, -1, 1)
        spread = (soft * slope + (1 - soft) * slope_not).sum(dim=1)
        entropy = binary.bit_entropy(logits) - self.config.diversity * spread
        loss = self.config.entropy_weight * entropy
        error = (unit.detach() - z_q).square().mean(dim=1)
        if context.mask is not None:
            error, loss = (torch.where(context.mask.squeeze(1), e, 0.0) for e in (error, loss))
            soft = torch.where(context.mask, soft, 0.0)
        passed = straight_through(unit, z_q)
        real = None if context.mask is None else context.mask.flatten()
        counts = codebook.count(codes.flatten(), self.codebook_sizes[0], real)
        return BottleneckOutput(
            z=jitter(passed, self.config.jitter if self.training else 0.0, context),
            loss=loss,
            codes=codes,
            statistics=Statistics(sums={"count": counts, "soft": soft.detach().sum(dim=(0, 2))}),
            metrics={"quantization_error": error.sum(dim=1)},
        )

    def encode(
        self, z: Float[Tensor, "B D T"], context: Context = Context()
    ) -> Int[Tensor, "B K T"]:
        """Return the number that the signs make, in [0, 2^bits); 0 where masked."""
        return binary.to_codes(self.whiten(z), context.mask)  # length changes no sign

    def decode(self, codes: Int[Tensor, "B K T"]) -> Float[Tensor, "B D T"]:
        """Return the corners of the hypercube, of length 1."""
        size = 1.0 / math.sqrt(self.config.bits)
        return binary.to_signs(codes, self.config.bits, size).to(self.mean.dtype)

    def initialise(self, z: Float[Tensor, "B D T"], context: Context = Context()) -> None:
        """Whiten encoder output, so that every sign starts as a coin of its own."""
        self.whiten.initialise(z, context.mask)

    @torch.no_grad()
    def update(self, statistics: Statistics) -> None:
        """Move the running mean of each bit towards a step's, if it has frames."""
        frames = statistics.sums["count"].sum()
        step = torch.where(frames > 0, 1.0 - self.config.decay, 0.0)
        self.mean.lerp_(statistics.sums["soft"] / frames.clamp_min(1.0), step)

    def describe(self, statistics: Statistics) -> dict[str, float]:
        """Return perplexity in [1, N] and usage in [0, 1]."""
        return describe_counts(statistics.sums["count"])

    def _unit(self, z: Float[Tensor, "B D T"]) -> Float[Tensor, "B D T"]:
        """Return frames on the unit sphere."""
        return F.normalize(self.whiten(z), dim=1)
