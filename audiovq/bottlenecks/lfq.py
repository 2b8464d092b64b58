"""Lookup-free quantizer: the sign of each channel is a bit of the code."""

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from audiovq.bottlenecks import _binary as binary
from audiovq.bottlenecks import _codebook as codebook
from audiovq.bottlenecks._base import BottleneckOutput, Context, DiscreteBottleneck, Statistics
from audiovq.bottlenecks._estimators import straight_through
from audiovq.bottlenecks._health import describe_counts
from audiovq.bottlenecks._jitter import JitterConfig, jitter
from audiovq.bottlenecks._whiten import Whiten


class Config(JitterConfig):
    """Settings of the lookup-free quantizer."""

    bits: int = Field(9, ge=1, le=20, description="bits per frame; N = 2^bits codes")
    entropy_weight: float = Field(0.1, ge=0, description="weight of both entropies (nats)")
    diversity: float = Field(
        1.0, ge=0, description="weight of the codebook's entropy beside that of single frames"
    )
    temperature: float = Field(
        1.0, gt=0, description="softness of the codes whose entropies count; 0.01 in MAGVIT-v2"
    )
    commitment_weight: float = Field(0.25, ge=0, description="weight of |z - sg[e]|^2, mean over D")
    decay: float = Field(0.99, ge=0, lt=1, description="of the running mean of soft codes")


class LFQ(DiscreteBottleneck):
    """Quantise each channel to -1 or 1; entropy terms make frames sure and codes equally common.

    loss = commitment + entropy_weight * (E[H(code | frame)] - diversity * H(E[code]))

    Source: Yu et al. 2023 (MAGVIT-v2, arXiv:2310.05737), section 3.1, eq. 5. Differs in: the
    second entropy is of the running mean over all frames, linearised, so that it does not depend
    on how a batch is cut, and exact over all 2^bits codes; encoder output is whitened once, at
    the start.

    Buffers:
        mean (2^(bits // 2), rest): running mean of the soft codes' probabilities.
    """

    mean: Float[Tensor, "Nh Nl"]

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.in_channels = self.out_channels = config.bits
        self.codebook_sizes = (1 << config.bits,)
        self.whiten = Whiten(config.bits)
        high = 1 << (config.bits // 2)
        shape = high, self.codebook_sizes[0] // high
        self.register_buffer("mean", torch.full(shape, 1.0 / self.codebook_sizes[0]))

    @property
    def layout(self) -> tuple[str, ...]:
        """What each row of codes holds."""
        return (f"{self.config.bits} signs, first highest",)

    def forward(self, z: Float[Tensor, "B D T"], context: Context = Context()) -> BottleneckOutput:
        """Take the sign of each channel.

        Returns:
            z: -1 or 1. loss: commitment and entropies. codes: in [0, 2^bits). metrics:
            `quantization_error`, the summed distance without the weight.
        """
        B, _, T = z.shape
        real = None if context.mask is None else context.mask.flatten()
        white = self.whiten(z)
        codes = binary.to_codes(white, context.mask)
        z_q = binary.to_signs(codes, self.config.bits).to(white.dtype)
        rows = rearrange(white, "b d t -> (b t) d")
        error = codebook.squared_distance(rows, rearrange(z_q, "b d t -> (b t) d"))
        # As a softmax over -|z - c|^2 / temperature: codes differ in bit k by 4 z_k.
        logits = 4.0 * rows / self.config.temperature
        soft = binary.soft(logits)
        entropy = binary.bit_entropy(logits) - self.config.diversity * soft.expect(
            binary.entropy_slope(self.mean)
        )
        loss = self.config.commitment_weight * error + self.config.entropy_weight * entropy
        if real is not None:
            error, loss = (torch.where(real, e, 0.0) for e in (error, loss))
        passed = straight_through(white, z_q)
        return BottleneckOutput(
            z=jitter(passed, self.config.jitter if self.training else 0.0, context),
            loss=loss.view(B, T),
            codes=codes,
            statistics=self._statistics(soft, codes.flatten(), real),
            metrics={"quantization_error": error.detach().view(B, T).sum(dim=1)},
        )

    def encode(
        self, z: Float[Tensor, "B D T"], context: Context = Context()
    ) -> Int[Tensor, "B K T"]:
        """Return the number that the signs make, in [0, 2^bits); 0 where masked."""
        return binary.to_codes(self.whiten(z), context.mask)

    def decode(self, codes: Int[Tensor, "B K T"]) -> Float[Tensor, "B D T"]:
        """Return the signs."""
        return binary.to_signs(codes, self.config.bits).to(self.mean.dtype)

    def initialise(self, z: Float[Tensor, "B D T"], context: Context = Context()) -> None:
        """Whiten encoder output, so that every sign starts as a coin of its own."""
        self.whiten.initialise(z, context.mask)

    @torch.no_grad()
    def update(self, statistics: Statistics) -> None:
        """Move the running mean of soft codes towards a step's, if it has frames."""
        total = statistics.sums["soft"]
        frames = statistics.sums["count"].sum()
        step = torch.where(frames > 0, 1.0 - self.config.decay, 0.0)
        self.mean.lerp_(total / frames.clamp_min(1.0), step)

    def describe(self, statistics: Statistics) -> dict[str, float]:
        """Return perplexity in [1, N] and usage in [0, 1]."""
        return describe_counts(statistics.sums["count"])

    @torch.no_grad()
    def _statistics(
        self, soft: binary.Soft, codes: Int[Tensor, "R"], real: Bool[Tensor, "R"] | None
    ) -> Statistics:
        ones = torch.ones_like(soft.high[:, 0])
        weights = ones if real is None else real.to(ones.dtype)
        counts = codebook.count(codes, self.codebook_sizes[0], real)
        return Statistics(sums={"count": counts, "soft": soft.total(weights)})
