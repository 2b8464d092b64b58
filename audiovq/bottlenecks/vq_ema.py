"""Vector quantizer with a codebook that follows an exponential moving average."""

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from audiovq.bottlenecks import _codebook as codebook
from audiovq.bottlenecks._base import (
    EMPTY,
    BottleneckOutput,
    Context,
    DiscreteBottleneck,
    Statistics,
    describe_counts,
)
from audiovq.config import ComponentConfig
from audiovq.nn import random


class Config(ComponentConfig):
    """Settings of the EMA vector quantizer."""

    dim: int = Field(64, ge=1, le=4096, description="code dimension D")
    codebook_size: int = Field(512, ge=2, le=1 << 20, description="number of codes N")
    commitment_weight: float = Field(
        0.25, ge=0, description="beta of the paper's eq. 3, on a mean over D"
    )
    decay: float = Field(0.99, ge=0, lt=1, description="gamma of the paper's appendix A.1")
    eps: float = Field(1e-5, gt=0, description="Laplace smoothing of counts, in frames")
    count_floor: float = Field(
        1e-3, gt=0, lt=1, description="share of the mean count at which a code stops decaying"
    )
    revive_threshold: float = Field(
        0.1, ge=0, lt=1, description="a code is dead below this share of the mean count; 0: never"
    )
    revive_every: int = Field(10, ge=1, description="steps between looks for dead codes")
    candidates: int = Field(256, ge=1, description="frames kept per step to revive codes from")
    kmeans_iterations: int = Field(20, ge=0, description="k-means iterations of the first codebook")


class VQEMA(DiscreteBottleneck):
    """Replace each frame by its nearest code; the codebook is an average of its own frames.

    Source: van den Oord et al. 2017 (arXiv:1711.00937), eq. 1-3 and appendix A.1. Differs in:
    counts start at 1 and stop falling at a floor, so a code that is never hit keeps its vector;
    Laplace smoothing acts on a copy; every `revive_every` steps a dead code is moved onto a frame
    of the batch, count and sum together, so that the next average keeps it there.

    Buffers:
        ema_count (N): running number of frames per step assigned to each code.
        ema_sum (N, D): running sum of those frames; codebook = ema_sum / smoothed ema_count.
        updates (): number of updates, to know when to look for dead codes.
    """

    ema_count: Float[Tensor, "N"]
    ema_sum: Float[Tensor, "N D"]
    updates: Int[Tensor, ""]

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.in_channels = self.out_channels = config.dim
        self.codebook_sizes = (config.codebook_size,)
        codes = random.normal(torch.arange(config.codebook_size), "codebook", config.dim)
        self.register_buffer("ema_count", torch.ones(config.codebook_size))
        self.register_buffer("ema_sum", codes / config.dim**0.5)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @property
    def codebook(self) -> Float[Tensor, "N D"]:
        """The code vectors, derived from the running counts and sums."""
        total, N = self.ema_count.sum(), len(self.ema_count)
        eps = self.config.eps
        smoothed = (self.ema_count + eps) / (total + N * eps) * total
        return self.ema_sum / smoothed.unsqueeze(1)

    def forward(self, z: Float[Tensor, "B D T"], context: Context = Context()) -> BottleneckOutput:
        """Quantise each frame to its nearest code.

        Returns:
            z: the code vectors, straight-through. loss: commitment_weight times the mean squared
            distance to the code. codes: in [0, N). metrics: `quantization_error`, the summed
            distance without the weight.
        """
        B, _, T = z.shape
        real = None if context.mask is None else context.mask.flatten()
        rows = rearrange(z, "b d t -> (b t) d").float()
        codes = self._search(rows, real)
        z_q = self.codebook.index_select(0, codes)
        distance = codebook.squared_distance(rows, z_q)
        if real is not None:
            distance = torch.where(real, distance, 0.0)
        distance = distance.view(B, T)
        return BottleneckOutput(
            z=rearrange(codebook.straight_through(rows, z_q), "(b t) d -> b d t", b=B),
            loss=self.config.commitment_weight * distance,
            codes=codes.view(B, 1, T),
            statistics=self._statistics(rows.detach(), codes, real, context.keys, B),
            metrics={"quantization_error": distance.detach().sum(dim=1)},
        )

    def encode(
        self, z: Float[Tensor, "B D T"], context: Context = Context()
    ) -> Int[Tensor, "B K T"]:
        """Return the index of each frame's nearest code, in [0, N); 0 where masked."""
        real = None if context.mask is None else context.mask.flatten()
        codes = self._search(rearrange(z, "b d t -> (b t) d"), real)
        return codes.view(len(z), 1, -1)

    def decode(self, codes: Int[Tensor, "B K T"]) -> Float[Tensor, "B D T"]:
        """Return the code vectors."""
        return rearrange(self.codebook[codes[:, 0]], "b t d -> b d t")

    @torch.no_grad()
    def initialise(self, z: Float[Tensor, "B D T"], context: Context = Context()) -> None:
        """Set the codebook to k-means centres of encoder output."""
        rows = rearrange(z, "b d t -> (b t) d").float()
        if context.mask is not None:
            rows = rows[context.mask.flatten()]
        centres = codebook.kmeans(
            rows, len(self.ema_count), iterations=self.config.kmeans_iterations
        )
        self.ema_count.fill_(1.0)
        self.ema_sum.copy_(centres)

    @torch.no_grad()
    def update(self, statistics: Statistics) -> None:
        """Move counts and sums towards the batch's, then revive dead codes."""
        decay, floor = self.config.decay, self.config.count_floor
        self.ema_count.lerp_(statistics.sums["count"], 1.0 - decay)
        self.ema_sum.lerp_(statistics.sums["sum"], 1.0 - decay)
        # At the floor count and sum stop falling together: their ratio, the code, stays.
        lift = (floor * self.ema_count.mean() / self.ema_count).clamp_min(1.0)
        self.ema_count.mul_(lift)
        self.ema_sum.mul_(lift.unsqueeze(1))
        self.updates += 1
        self._revive(statistics)

    def describe(self, statistics: Statistics) -> dict[str, float]:
        """Return perplexity in [1, N] and usage in [0, 1] of the frames behind the statistics."""
        return describe_counts(statistics.sums["count"])

    def _search(
        self, rows: Float[Tensor, "R D"], real: Bool[Tensor, "R"] | None
    ) -> Int[Tensor, "R"]:
        codes = codebook.nearest(rows, self.codebook)
        return codes if real is None else torch.where(real, codes, 0)

    def _statistics(
        self,
        rows: Float[Tensor, "R D"],
        codes: Int[Tensor, "R"],
        real: Bool[Tensor, "R"] | None,
        keys: Int[Tensor, "B"] | None,
        items: int,
    ) -> Statistics:
        if keys is None:
            keys = torch.arange(items, device=rows.device)
        counts, sums = codebook.count_and_sum(rows, codes, len(self.ema_count), real)
        drawn = codebook.draw(rows, keys, real, self.config.candidates, "revival")
        return Statistics(sums={"count": counts, "sum": sums}, candidates={"frames": drawn})

    def _revive(self, statistics: Statistics) -> None:
        """Move the deadest codes onto drawn frames; all on the device, whatever their number."""
        drawn = statistics.candidates["frames"]
        mean = self.ema_count.mean()
        due = (self.updates % self.config.revive_every == 0) & (drawn.hashes != EMPTY)
        size = min(len(drawn.hashes), len(self.ema_count))
        count, index = self.ema_count.topk(size, largest=False)
        dead = (count < self.config.revive_threshold * mean) & due[:size]
        frames = torch.where(dead.unsqueeze(1), drawn.frames[:size] * mean, self.ema_sum[index])
        self.ema_count[index] = torch.where(dead, mean, count)
        self.ema_sum[index] = frames
