"""Sparse autoencoder: few latent units are active at a time."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from audiovq.bottlenecks._base import Bottleneck, BottleneckOutput, Context, Statistics
from audiovq.config import ComponentConfig


class Config(ComponentConfig):
    """Settings of the sparse autoencoder."""

    dim: int = Field(64, ge=1, le=4096, description="latent units D")
    penalty: Literal["kl", "l1"] = Field(
        "kl", description="kl: mean activation of each sigmoid unit towards rho; l1: of a ReLU"
    )
    weight: float = Field(1e-2, ge=0, description="lambda, of the penalty summed over units")
    rho: float = Field(0.05, gt=0, lt=1, description="wanted mean activation, for kl")
    decay: float = Field(0.99, ge=0, lt=1, description="of the running mean activation, for kl")


class Sparse(Bottleneck):
    """Activations h = sigmoid(z) whose means are drawn to rho, or h = relu(z) drawn to zero.

    kl: weight * sum_j KL(rho || rho_hat_j), rho_hat_j the mean activation of unit j.
    l1: weight * sum_j |h_j|, mean over frames.

    Source: Ng 2011 (CS294A notes, "Sparse autoencoder", section 3). Differs in: rho_hat is the
    running mean over all frames, and the penalty is linearised around it: its gradient is that of
    the full-batch formula and does not depend on how a batch is cut.

    Buffers:
        mean (D): running mean of each unit's activation.
    """

    mean: Float[Tensor, "D"]

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.in_channels = self.out_channels = config.dim
        self.register_buffer("mean", torch.full((config.dim,), 0.5))

    def forward(self, z: Float[Tensor, "B D T"], context: Context = Context()) -> BottleneckOutput:
        """Return activations, in (0, 1) for kl and at least 0 for l1, and their penalty."""
        h = self._activate(z)
        full = h.to(torch.promote_types(h.dtype, torch.float32))  # h is bf16 under autocast
        loss = self._kl(full) if self.config.penalty == "kl" else full.sum(dim=1)
        active = h.detach().double()
        if context.mask is not None:
            loss = torch.where(context.mask.squeeze(1), loss, 0.0)
            active = torch.where(context.mask, active, 0.0)
            frames = context.mask.sum().float()
        else:
            frames = torch.full((), float(z.shape[0] * z.shape[2]), device=z.device)
        total = active.sum(dim=(0, 2)).to(self.mean.dtype)
        on = (active > 0.1).sum().float()  # for people; nothing is learned from it
        return BottleneckOutput(
            z=h,
            loss=self.config.weight * loss,
            statistics=Statistics(sums={"activation": total, "frames": frames, "on": on}),
        )

    def embed(self, z: Float[Tensor, "B C T"], context: Context) -> Float[Tensor, "B D T"]:
        """Return the activations."""
        del context
        return self._activate(z)

    @torch.no_grad()
    def update(self, statistics: Statistics) -> None:
        """Move the running mean towards a step's; a step without frames moves nothing."""
        frames = statistics.sums["frames"]
        step = torch.where(frames > 0, 1.0 - self.config.decay, 0.0)
        self.mean.lerp_(statistics.sums["activation"] / frames.clamp_min(1.0), step)

    def describe(self, statistics: Statistics) -> dict[str, float]:
        """Return mean_activation, and active: the share of activations above 0.1."""
        frames = statistics.sums["frames"].double().clamp_min(1.0)
        return {
            "mean_activation": float(statistics.sums["activation"].double().mean() / frames),
            "active": float(statistics.sums["on"].double() / frames / self.config.dim),
        }

    def _activate(self, z: Float[Tensor, "B D T"]) -> Float[Tensor, "B D T"]:
        return z.sigmoid() if self.config.penalty == "kl" else z.relu()

    def _kl(self, h: Float[Tensor, "B D T"]) -> Float[Tensor, "B T"]:
        """Return each frame's share of the penalty: its value and slope at the running mean."""
        rho, mean = self.config.rho, self.mean.clamp(1e-4, 1 - 1e-4)
        value = (rho * (rho / mean).log() + (1 - rho) * ((1 - rho) / (1 - mean)).log()).sum()
        slope = (1 - rho) / (1 - mean) - rho / mean
        away = (h - self.mean.view(1, -1, 1)) * slope.view(1, -1, 1)
        return value + away.sum(dim=1)
