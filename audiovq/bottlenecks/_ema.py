"""A codebook that follows an exponential moving average of the frames given to each code."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from audiovq.bottlenecks import _codebook as codebook
from audiovq.bottlenecks._base import EMPTY, Statistics
from audiovq.bottlenecks._estimators import EstimatorName
from audiovq.bottlenecks._health import describe_fit, fit_sums
from audiovq.bottlenecks._jitter import JitterConfig
from audiovq.nn import lean, random


class EMAConfig(JitterConfig):
    """Settings that all bottlenecks with EMA codebooks share."""

    codebook_size: int = Field(512, ge=2, le=1 << 20, description="number of codes N")
    commitment_weight: float = Field(
        0.25, ge=0, description="beta of the VQ-VAE paper's eq. 3, on a mean over D"
    )
    estimator: EstimatorName = Field(
        "straight_through", description="how the decoder's gradient reaches the encoder"
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


@dataclass(frozen=True)
class Quantised:
    """What a codebook makes of rows.

    Attributes:
        codes: nearest code of each row; 0 where not real.
        z_q: its vector, without gradient.
        error: mean squared distance over D, gradient to the rows only; 0 where not real.
        statistics: of the real rows.
    """

    codes: Int[Tensor, "R"]
    z_q: Float[Tensor, "R D"]
    error: Float[Tensor, "R"]
    statistics: Statistics


class EMACodebook(nn.Module):
    """Codes that are running means of their own frames; the dead ones are moved onto new frames.

    Source: van den Oord et al. 2017 (arXiv:1711.00937), appendix A.1. Differs in: counts start at
    1 and stop falling at a floor, so a code that is never hit keeps its vector but for Laplace
    smoothing (a share of eps over the floor's count), which acts on a copy; every `revive_every`
    steps a dead code is moved onto a frame of the batch, count and sum together, so that the next
    average keeps it there.

    Buffers:
        ema_count (N): running number of frames per step assigned to each code.
        ema_sum (N, D): running sum of those frames; code = ema_sum / smoothed ema_count.
        updates (): number of updates, to know when to look for dead codes.
        revived (): number of codes revived so far.

    Args:
        config: averaging and revival.
        size: number of codes N.
        dim: their dimension D.
        sphere: keep the codes at length 1, for rows of length 1.
    """

    ema_count: Float[Tensor, "N"]
    ema_sum: Float[Tensor, "N D"]
    updates: Int[Tensor, ""]
    revived: Int[Tensor, ""]

    def __init__(self, config: EMAConfig, size: int, dim: int, *, sphere: bool = False) -> None:
        super().__init__()
        self.config, self.sphere = config, sphere
        codes = random.normal(torch.arange(size), "codebook", dim)
        self.register_buffer("ema_count", torch.ones(size))
        self.register_buffer("ema_sum", codes / dim**0.5)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.register_buffer("revived", torch.zeros((), dtype=torch.int64))

    @property
    def vectors(self) -> Float[Tensor, "N D"]:
        """The code vectors, derived from the running counts and sums."""
        return lean.kept((self, "vectors"), self._vectors)

    def _vectors(self) -> Float[Tensor, "N D"]:
        if self.sphere:
            return F.normalize(self.ema_sum, dim=1)
        total, N = self.ema_count.sum(), len(self.ema_count)
        eps = self.config.eps
        smoothed = (self.ema_count + eps) / (total + N * eps) * total
        return self.ema_sum / smoothed.unsqueeze(1)

    def forward(
        self,
        rows: Float[Tensor, "R D"],
        real: Bool[Tensor, "R"] | None,
        drawn: codebook.Draw,
    ) -> Quantised:
        """Give every row its nearest code; changes no buffer.

        Args:
            rows: frames, in the codebook's dtype.
            real: which rows count; None: all.
            drawn: the rows to keep for reviving codes.
        """
        vectors = self.vectors
        codes = self.search(rows, real, vectors)
        z_q = vectors.index_select(0, codes)
        error = codebook.squared_distance(rows, z_q)
        if real is not None:
            error = torch.where(real, error, 0.0)
        plain = rows.detach()
        return Quantised(
            codes=codes,
            z_q=z_q,
            error=error,
            statistics=Statistics(
                sums=fit_sums(plain, codes, error, len(vectors), real),
                candidates={"frames": drawn.of(plain)},
            ),
        )

    def search(
        self,
        rows: Float[Tensor, "R D"],
        real: Bool[Tensor, "R"] | None = None,
        vectors: Float[Tensor, "N D"] | None = None,
    ) -> Int[Tensor, "R"]:
        """Return each row's nearest code; 0 where not real."""
        vectors = self.vectors if vectors is None else vectors
        norms = lean.kept((self, "norms"), lambda: codebook.half_norms(vectors))
        codes = codebook.nearest(rows, vectors, norms)
        return codes if real is None else torch.where(real, codes, 0)

    @torch.no_grad()
    def initialise(self, rows: Float[Tensor, "R D"]) -> None:
        """Set the codes to k-means centres of rows."""
        centres = codebook.kmeans(
            rows.to(self.ema_sum.dtype),
            len(self.ema_count),
            iterations=self.config.kmeans_iterations,
        )
        self.ema_count.fill_(1.0)
        self.ema_sum.copy_(centres)

    @torch.no_grad()
    def update(self, statistics: Statistics) -> None:
        """Move counts and sums towards the batch's, then revive dead codes."""
        decay, floor = self.config.decay, self.config.count_floor
        dtype = self.ema_sum.dtype
        self.ema_count.lerp_(statistics.sums["count"].to(dtype), 1.0 - decay)
        self.ema_sum.lerp_(statistics.sums["sum"].to(dtype), 1.0 - decay)
        # At the floor count and sum stop falling together: their ratio, the code, stays.
        lift = (floor * self.ema_count.mean() / self.ema_count).clamp_min(1.0)
        self.ema_count.mul_(lift)
        self.ema_sum.mul_(lift.unsqueeze(1))
        self.updates += 1
        self._revive(statistics)

    @torch.no_grad()
    def estimate(self, statistics: Statistics) -> None:
        """Set each code to the mean of its frames; one without any keeps its vector."""
        dtype = self.ema_sum.dtype
        count, total = (statistics.sums[k].to(dtype) for k in ("count", "sum"))
        scale = self.ema_count.sum() / count.sum().clamp_min(1.0)
        some = count > 0
        self.ema_sum.copy_(torch.where(some.unsqueeze(1), total * scale, self.ema_sum))
        self.ema_count.copy_(torch.where(some, count * scale, self.ema_count))

    @torch.no_grad()
    def settle(self) -> None:
        """Keep the codes and forget how often each was used, as `initialise` leaves a codebook."""
        self.ema_sum.copy_(self.vectors)
        self.ema_count.fill_(1.0)

    def describe(self, statistics: Statistics) -> dict[str, float]:
        """Say how the codebook fits the frames behind the statistics, and how alive it is.

        Returns:
            what `describe_fit` does; dead_codes: share of codes under the revival threshold now;
            revived_codes: codes revived since the start of training.
        """
        dead = self.ema_count < self.config.revive_threshold * self.ema_count.mean()
        return {
            **describe_fit(statistics.sums, self.vectors),
            "dead_codes": float(dead.double().mean()),
            "revived_codes": float(self.revived),
        }

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
        self.revived += dead.sum()
