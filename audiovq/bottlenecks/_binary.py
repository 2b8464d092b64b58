"""Codes of one bit per channel, and the entropy that keeps all of them in use.

A frame's soft code has independent bits, bit k being 1 with probability sigmoid(logit_k). Its 2^D
probabilities are the outer product of those of its first and its second half of bits, so entropies
over all codes cost two matrix products with 2^(D/2) columns, and no frames-by-codes matrix.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from audiovq.nn.precision import without_autocast


def to_codes(rows: Float[Tensor, "R D"]) -> Int[Tensor, "R"]:
    """Return the number that each row's signs make, first highest; positive is 1.

    A matrix product of float32 counts exactly up to 24 bits.
    """
    with torch.no_grad(), without_autocast(rows.device):
        places = 2.0 ** torch.arange(rows.shape[1] - 1, -1, -1, device=rows.device)
        return ((rows > 0).to(places.dtype) @ places).long()


def to_signs(codes: Int[Tensor, "R"], dim: int, size: float = 1.0) -> Float[Tensor, "R {dim}"]:
    """Return `size` where a bit of the code is 1 and `-size` where it is 0, first bit highest."""
    places = 1 << torch.arange(dim - 1, -1, -1, device=codes.device)
    bits = codes.unsqueeze(1).bitwise_and(places) != 0
    return torch.where(bits, size, -size)


def bit_entropy(logits: Float[Tensor, "R D"]) -> Float[Tensor, "R"]:
    """Return the entropy (nats) of each row's soft code: the sum over its independent bits."""
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
        return (self.high * weights.unsqueeze(1)).T @ self.low

    def expect(self, table: Float[Tensor, "Nh Nl"]) -> Float[Tensor, "R"]:
        """Return each row's expectation of a value that every code has."""
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
