"""Variational autoencoder with a given rate: beta is found, not set."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from audiovq.bottlenecks import _gaussian as gaussian
from audiovq.bottlenecks._base import Bottleneck, BottleneckOutput, Context, Statistics
from audiovq.bottlenecks._jitter import keys_of
from audiovq.config import ComponentConfig


class Config(ComponentConfig):
    """Settings of the constrained variational autoencoder."""

    dim: int = Field(64, ge=1, le=2048, description="latent dimension D; the encoder emits 2 D")
    target_kl: float = Field(40.0, gt=0, description="epsilon: KL allowed (nats per frame)")
    initial_beta: float = Field(1e-3, ge=0, description="multiplier at the start")
    ascent_rate: float = Field(
        1e-4, gt=0, description="step of the dual ascent, per relative excess of the KL"
    )
    damping: float = Field(
        20.0, ge=0, description="answer to the present excess, in steps of the dual ascent"
    )
    decay: float = Field(0.9, ge=0, lt=1, description="of the running KL the multiplier follows")


class ConstrainedVAE(Bottleneck):
    """Minimise the distortion subject to KL(q || N(0, I)) <= target_kl.

    beta, the constraint's multiplier, climbs while the KL is above its target and falls, to 0 at
    least, while it is below: beta <- max(0, beta + ascent_rate * min(1, KL / target - 1)). At a
    solution either the KL is at its target or beta is 0 (Karush-Kuhn-Tucker).

    Source: Higgins et al. 2017 (ICLR, "beta-VAE"), eq. 2-3, solved by dual ascent (Boyd &
    Vandenberghe 2004, section 5.5.3). Differs in: a term in the present excess damps the
    oscillation that plain dual ascent has with an optimizer that has momentum, and a KL far above
    its target counts as twice it.

    Buffers:
        multiplier (): beta without the damping.
        excess (): running mean of min(1, KL / target_kl - 1).
    """

    has_rate = True
    multiplier: Float[Tensor, ""]
    excess: Float[Tensor, ""]

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.in_channels, self.out_channels = 2 * config.dim, config.dim
        self.register_buffer("multiplier", torch.tensor(config.initial_beta))
        self.register_buffer("excess", torch.zeros(()))

    @property
    def beta(self) -> Float[Tensor, ""]:
        """The weight of the KL (nats per frame) in the next step."""
        answer = self.config.damping * self.config.ascent_rate * self.excess
        return (self.multiplier + answer).clamp_min(0.0)

    def forward(self, z: Float[Tensor, "B C T"], context: Context = Context()) -> BottleneckOutput:
        """Sample from the posterior.

        Returns:
            z: a sample; the mean in evaluation without keys to draw one by. loss: beta times the
            KL. metrics: `kl`, nats summed over an item's frames.
        """
        q = gaussian.split(z)
        mean = not self.training and context.keys is None
        each = q.kl()
        kl = each.sum(dim=1)
        if context.mask is not None:
            kl = torch.where(context.mask.squeeze(1), kl, 0.0)
        return BottleneckOutput(
            z=q.mean if mean else q.sample(keys_of(context, z)),
            loss=self.beta * kl,
            statistics=gaussian.statistics(q, each, context.mask),
            metrics={"kl": kl.detach().sum(dim=1)},
        )

    def embed(self, z: Float[Tensor, "B C T"], context: Context) -> Float[Tensor, "B D T"]:
        """Return the posterior's mean."""
        del context
        return gaussian.split(z).mean

    @torch.no_grad()
    def update(self, statistics: Statistics) -> None:
        """Take a step of dual ascent; a step without frames moves nothing."""
        frames = statistics.sums["frames"]
        kl = statistics.sums["kl"].sum() / frames.clamp_min(1.0)
        excess = (kl / self.config.target_kl - 1.0).clamp_max(1.0)
        some = frames > 0
        self.excess.lerp_(excess, torch.where(some, 1.0 - self.config.decay, 0.0))
        step = torch.where(some, self.config.ascent_rate * excess, 0.0)
        self.multiplier.add_(step).clamp_min_(0.0)

    def describe(self, statistics: Statistics) -> dict[str, float]:
        """Return kl (nats per frame), active_units (share of dimensions) and multiplier (beta)."""
        return {**gaussian.describe(statistics), "multiplier": float(self.multiplier)}
