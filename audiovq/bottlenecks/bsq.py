"""Binary spherical quantizer: signs of a frame on the unit sphere."""

import math

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
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
        B, _, T = z.shape
        real = None if context.mask is None else context.mask.flatten()
        rows = self._rows(z)
        codes = self._search(rows, real)
        z_q = self._vectors(codes)
        logits = 4.0 * rows / (math.sqrt(self.config.bits) * self.config.temperature)
        soft = logits.sigmoid()
        slope, slope_not = binary.entropy_slope(self.mean), binary.entropy_slope(1 - self.mean)
        spread = (soft * slope + (1 - soft) * slope_not).sum(dim=1)
        entropy = binary.bit_entropy(logits) - self.config.diversity * spread
        loss = self.config.entropy_weight * entropy
        error = codebook.squared_distance(rows.detach(), z_q)
        if real is not None:
            error, loss = (torch.where(real, e, 0.0) for e in (error, loss))
            soft = torch.where(real.unsqueeze(1), soft, 0.0)
        passed = rearrange(straight_through(rows, z_q), "(b t) d -> b d t", b=B)
        counts = codebook.count(codes, self.codebook_sizes[0], real)
        return BottleneckOutput(
            z=jitter(passed, self.config.jitter if self.training else 0.0, context),
            loss=loss.view(B, T),
            codes=codes.view(B, 1, T),
            statistics=Statistics(sums={"count": counts, "soft": soft.detach().sum(dim=0)}),
            metrics={"quantization_error": error.view(B, T).sum(dim=1)},
        )

    def encode(
        self, z: Float[Tensor, "B D T"], context: Context = Context()
    ) -> Int[Tensor, "B K T"]:
        """Return the number that the signs make, in [0, 2^bits); 0 where masked."""
        real = None if context.mask is None else context.mask.flatten()
        return self._search(self._rows(z), real).view(len(z), 1, -1)

    def decode(self, codes: Int[Tensor, "B K T"]) -> Float[Tensor, "B D T"]:
        """Return the corners of the hypercube, of length 1."""
        return rearrange(self._vectors(codes[:, 0].flatten()), "(b t) d -> b d t", b=len(codes))

    def initialise(self, z: Float[Tensor, "B D T"], context: Context = Context()) -> None:
        """Whiten encoder output, so that every sign starts as a coin of its own."""
        rows = rearrange(z, "b d t -> (b t) d")
        self.whiten.initialise(rows if context.mask is None else rows[context.mask.flatten()])

    @torch.no_grad()
    def update(self, statistics: Statistics) -> None:
        """Move the running mean of each bit towards a step's, if it has frames."""
        frames = statistics.sums["count"].sum()
        step = torch.where(frames > 0, 1.0 - self.config.decay, 0.0)
        self.mean.lerp_(statistics.sums["soft"] / frames.clamp_min(1.0), step)

    def describe(self, statistics: Statistics) -> dict[str, float]:
        """Return perplexity in [1, N] and usage in [0, 1]."""
        return describe_counts(statistics.sums["count"])

    def _rows(self, z: Float[Tensor, "B D T"]) -> Float[Tensor, "R D"]:
        return F.normalize(self.whiten(rearrange(z, "b d t -> (b t) d")), dim=1)

    @staticmethod
    def _search(rows: Float[Tensor, "R D"], real: Bool[Tensor, "R"] | None) -> Int[Tensor, "R"]:
        codes = binary.to_codes(rows)
        return codes if real is None else torch.where(real, codes, 0)

    def _vectors(self, codes: Int[Tensor, "R"]) -> Float[Tensor, "R D"]:
        signs = binary.to_signs(codes, self.config.bits, 1.0 / math.sqrt(self.config.bits))
        return signs.to(self.mean.dtype)
