"""Bands equally wide in mel, computed where they are needed, so that no module must hold them."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

_KNEE = 700 / 8000  # the mel scale is linear below 700 Hz, of 8 kHz


def mel_centres(bands: int, like: Tensor) -> Float[Tensor, "M"]:
    """Return the middles of bands, as shares of half the rate, as if that were 8 kHz."""
    return _edges(bands, like)[1:-1]


def mel_bands(bins: int, bands: int, like: Tensor) -> Float[Tensor, "F M"]:
    """Return triangular filters from bins to bands, each with the sum 1.

    Args:
        bins: from 0 Hz to half the rate.
        bands: how many.
        like: of the dtype and on the device that is wanted.
    """
    at = torch.linspace(0, 1, bins, dtype=like.dtype, device=like.device)
    edges = _edges(bands, like)
    rise = (at[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - at[:, None]) / (edges[2:] - edges[1:-1])
    # the narrowest bands lie between two bins: each has the nearest one at least
    nearest = (at[:, None] - edges[1:-1]).abs().argmin(dim=0)
    weights = torch.minimum(rise, fall).clamp_min(0)
    weights = weights + 0.1 * F.one_hot(nearest, bins).T.to(weights)
    return weights / weights.sum(dim=0)


def _edges(bands: int, like: Tensor) -> Float[Tensor, "_"]:
    even = torch.linspace(0, 1, bands + 2, dtype=like.dtype, device=like.device)
    top = torch.log1p(torch.ones((), dtype=like.dtype, device=like.device) / _KNEE)
    return torch.expm1(even * top) * _KNEE
