"""Codes of one bit per channel, and the entropy that keeps all of them in use.

A frame's soft code has independent bits, bit k being 1 with probability sigmoid(logit_k). Its 2^D
probabilities are the outer product of those of its first and its second half of bits, so entropies
over all codes cost two matrix products with 2^(D/2) columns, and no frames-by-codes matrix.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from audiovq.nn.precision import without_autocast


def to_codes(z: Float[Tensor, "B D T"], mask: Bool[Tensor, "B 1 T"] | None) -> Int[Tensor, "B 1 T"]:
    """Return the number that the signs of each frame make, first highest; positive is 1.

    A matrix product of float32 counts exactly up to 24 bits. Codes are 0 where masked.
    """
    with torch.no_grad(), without_autocast(z.device):
        places = 2.0 ** torch.arange(z.shape[1] - 1, -1, -1, device=z.device)
        codes = (places.unsqueeze(0) @ (z > 0).to(places.dtype)).long()
    return codes if mask is None else torch.where(mask, codes, 0)


def to_signs(
    codes: Int[Tensor, "B 1 T"], dim: int, size: float = 1.0
) -> Float[Tensor, "B {dim} T"]:
    """Return `size` where a bit of the code is 1 and `-size` where it is 0, first bit highest."""
    # A table of all codes is cheaper than taking them apart.
    if not torch.compiler.is_exporting() and 1 << dim <= codes.numel():
        every = torch.arange(1 << dim, device=codes.device).view(-1, 1, 1)
        table = _signs(every, dim, size).squeeze(2)
        return rearrange(table[codes.flatten()], "(b t) d -> b d t", b=codes.shape[0])
    return _signs(codes, dim, size)


def _signs(codes: Int[Tensor, "B 1 T"], dim: int, size: float) -> Float[Tensor, "B {dim} T"]:
    places = 1 << torch.arange(dim - 1, -1, -1, device=codes.device).view(1, -1, 1)
    return torch.where(codes.bitwise_and(places) != 0, size, -size)


def bit_entropy(logits: Float[Tensor, "R D *T"]) -> Float[Tensor, "R *T"]:
    """Return the entropy (nats) of each soft code: the sum over its independent bits."""
    p = logits.sigmoid()
    return (p * F.softplus(-logits) + (1 - p) * F.softplus(logits)).sum(dim=1)


@dataclass(frozen=True)
class Soft:
    """Soft codes of rows, as the probabilities of their halves.

    Attributes:
        high: of the first bits' values.
        low: of the other bits' values.
    """

    high: Float[Tensor, "R Nh"]
    low: Float[Tensor, "R Nl"]

    def total(self, weights: Float[Tensor, "R"]) -> Float[Tensor, "Nh Nl"]:
        """Return the weighted sum over rows of the probability of every code."""
        with without_autocast(self.low.device):
            return (self.high * weights.unsqueeze(1)).T @ self.low

    def expect(self, table: Float[Tensor, "Nh Nl"]) -> Float[Tensor, "R"]:
        """Return each row's expectation of a value that every code has."""
        with without_autocast(self.low.device):
            return ((self.high @ table) * self.low).sum(dim=1)


def soft(logits: Float[Tensor, "R D"]) -> Soft:
    """Return the soft codes of rows of logits."""
    split = logits.shape[1] // 2
    return Soft(_outer(logits[:, :split]), _outer(logits[:, split:]))


def _outer(logits: Float[Tensor, "R d"]) -> Float[Tensor, "R n"]:
    """Return the probabilities of all 2^d values of independent bits, first bit highest."""
    table = torch.ones_like(logits[:, :1]) if logits.shape[1] else logits.new_ones(len(logits), 1)
    for logit in logits.unbind(dim=1):
        p = logit.sigmoid().unsqueeze(1)
        table = torch.stack([table * (1 - p), table * p], dim=2).flatten(1)
    return table


def entropy_slope(mean: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """Return the derivative of the entropy -sum p log p at a distribution, shifted by a constant.

    With it the entropy of a mean, which no batch alone knows, is linearised around the running
    mean: expectation of slope under a frame's soft code is the frame's share of the entropy.
    """
    return -mean.clamp_min(torch.finfo(mean.dtype).tiny).log()
