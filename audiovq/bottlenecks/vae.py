"""Variational autoencoder and beta-VAE with diagonal Gaussian posteriors."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from audiovq.bottlenecks import _gaussian as gaussian
from audiovq.bottlenecks._base import Bottleneck, BottleneckOutput, Context, Statistics
from audiovq.bottlenecks._jitter import keys_of
from audiovq.config import ComponentConfig


class Config(ComponentConfig):
    """Settings of the variational autoencoder."""

    dim: int = Field(64, ge=1, le=2048, description="latent dimension D; the encoder emits 2 D")
    beta: float = Field(
        5e-3, ge=0, description="weight of the KL (nats per frame) beside the reconstruction loss"
    )
    free_bits: float = Field(
        0.0, ge=0, description="KL below which a dimension is not pushed further (nats per frame)"
    )
    decay: float = Field(0.99, ge=0, lt=1, description="of the running KLs, for free_bits")


class VAE(Bottleneck):
    """Sample z from q(z | x); loss = beta * KL(q || N(0, I)).

    Reconstruction losses here are means over samples and mel bands, so the negative ELBO (beta = 1
    beside a sum of log-likelihoods) is reached at a beta below 1: divided by how many values a
    frame's likelihood has. Any other beta makes a beta-VAE.

    Source: Kingma & Welling 2014 (arXiv:1312.6114), eq. 7 and 10; Higgins et al. 2017 (ICLR,
    "beta-VAE"), eq. 4; free bits: Kingma et al. 2016 (arXiv:1606.04934), appendix C.8, on running
    means.

    Buffers:
        mean_kl (D): running mean of each dimension's KL (nats per frame).
    """

    has_rate = True
    mean_kl: Float[Tensor, "D"]

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.in_channels, self.out_channels = 2 * config.dim, config.dim
        start = max(1.0, 2 * config.free_bits)
        self.register_buffer("mean_kl", torch.full((config.dim,), start))

    def forward(self, z: Float[Tensor, "B C T"], context: Context = Context()) -> BottleneckOutput:
        """Sample from the posterior.

        Returns:
            z: a sample; the mean in evaluation without keys to draw one by. loss: beta times the
            KL. metrics: `kl`, nats summed over an item's frames.
        """
        q = gaussian.split(z)
        mean = not self.training and context.keys is None
        each = q.kl()
        pushed = each
        if self.config.free_bits > 0:
            held = (self.mean_kl <= self.config.free_bits).view(1, -1, 1)
            pushed = torch.where(held, self.config.free_bits, each)
        kl, loss = each.detach().sum(dim=1), self.config.beta * pushed.sum(dim=1)
        if context.mask is not None:
            real = context.mask.squeeze(1)
            kl, loss = torch.where(real, kl, 0.0), torch.where(real, loss, 0.0)
        return BottleneckOutput(
            z=q.mean if mean else q.sample(keys_of(context, z)),
            loss=loss,
            statistics=gaussian.statistics(q, each, context.mask),
            metrics={"kl": kl.sum(dim=1)},
        )

    def embed(self, z: Float[Tensor, "B C T"], context: Context) -> Float[Tensor, "B D T"]:
        """Return the posterior's mean."""
        del context
        return gaussian.split(z).mean

    @torch.no_grad()
    def update(self, statistics: Statistics) -> None:
        """Move the running KLs towards a step's; a step without frames moves nothing."""
        frames = statistics.sums["frames"]
        step = torch.where(frames > 0, 1.0 - self.config.decay, 0.0)
        self.mean_kl.lerp_(statistics.sums["kl"] / frames.clamp_min(1.0), step)

    def describe(self, statistics: Statistics) -> dict[str, float]:
        """Return kl (nats per frame) and active_units (share of dimensions)."""
        return gaussian.describe(statistics)
