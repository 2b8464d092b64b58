"""How surprised a model of codes is, in nats."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F


def surprise(
    logits: Float[Tensor, "B K N T"], codes: Int[Tensor, "B K T"]
) -> Float[Tensor, "B K T"]:
    """Return the surprise at each code: minus the logarithm of its probability."""
    return F.cross_entropy(logits.transpose(1, 2).float(), codes, reduction="none")


def mean_surprise(
    logits: Float[Tensor, "B K N T"], known: Bool[Tensor, "K N"]
) -> Float[Tensor, "B K T"]:
    """Return the mean surprise over all codes that a row has, were each to come.

    Source: label smoothing takes a share of it (Szegedy et al. 2016, arXiv:1512.00567, section 7).
    Differs in: codes a row does not have, whose logits are -inf, have no part in it.

    Args:
        logits: -inf where a row has no such code.
        known: which codes each row has.
    """
    each = -logits.float().log_softmax(dim=2)
    there = known.unsqueeze(2)
    return torch.where(there, each, 0.0).sum(dim=2) / there.sum(dim=1)
