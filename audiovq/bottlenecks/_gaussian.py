"""Diagonal Gaussian posteriors of a variational autoencoder, and what to know about them."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from audiovq.bottlenecks._base import Statistics
from audiovq.nn import random

ACTIVE_VARIANCE = 0.01  # Burda et al. 2015 (arXiv:1509.00519), section 5.2


@dataclass(frozen=True)
class Gaussian:
    """q(z | x) = N(mean, exp(log_variance)), each dimension by itself."""

    mean: Float[Tensor, "B D T"]
    log_variance: Float[Tensor, "B D T"]

    def sample(self, keys: Int[Tensor, "B"]) -> Float[Tensor, "B D T"]:
        """Return mean + sigma * eps, eps a pure function of key, frame and dimension."""
        B, D, T = self.mean.shape
        eps = random.normal(keys, "posterior", T * D).view(B, T, D).transpose(1, 2)
        return self.mean + (self.log_variance / 2).exp() * eps.to(self.mean.dtype)

    def kl(self) -> Float[Tensor, "B D T"]:
        """Return KL(q || N(0, 1)) of each dimension in nats.

        Source: Kingma & Welling 2014 (arXiv:1312.6114), appendix B.
        """
        variance = self.log_variance.exp()
        return (self.mean.square() + variance - 1.0 - self.log_variance) / 2


def split(z: Float[Tensor, "B C T"]) -> Gaussian:
    """Return the posterior that an encoder with 2 D channels emits.

    The log variance is kept within [-14, 10]: beyond it only floating point is at stake. Its
    gradient passes, or an encoder that went beyond would never be called back.
    """
    mean, log_variance = z.to(torch.promote_types(z.dtype, torch.float32)).chunk(2, dim=1)
    kept = log_variance.clamp(-14.0, 10.0)
    return Gaussian(mean, log_variance + (kept - log_variance).detach())


def statistics(
    posterior: Gaussian, kl: Float[Tensor, "B D T"], mask: Bool[Tensor, "B 1 T"] | None
) -> Statistics:
    """Return sums over real frames, by dimension: `kl`, `mean`, `square` of the mean; `frames`."""
    parts = {"kl": kl, "mean": posterior.mean, "square": posterior.mean.square()}
    sums = {}
    for name, value in parts.items():
        plain = value.detach()
        plain = plain if mask is None else torch.where(mask, plain, 0.0)
        sums[name] = plain.sum(dim=(0, 2))
    B, _, T = kl.shape
    full = torch.full((), float(B * T), device=kl.device)
    sums["frames"] = full if mask is None else mask.sum().float()
    return Statistics(sums=sums)


def describe(statistics: Statistics) -> dict[str, float]:
    """Say what the posteriors tell.

    Returns:
        kl: nats per frame, over all dimensions. active_units: share of dimensions whose mean
        varies over frames by more than 0.01.
    """
    frames = statistics.sums["frames"].double().clamp_min(1.0)
    mean = statistics.sums["mean"].double() / frames
    variance = statistics.sums["square"].double() / frames - mean.square()
    return {
        "kl": float(statistics.sums["kl"].double().sum() / frames),
        "active_units": float((variance > ACTIVE_VARIANCE).double().mean()),
    }
