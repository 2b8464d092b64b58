"""Distances between waveforms, sample by sample."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def real_samples(x: Float[Tensor, "B 1 L"], lengths: Int[Tensor, "B"]) -> Bool[Tensor, "B 1 L"]:
    """Return which samples lie before each item's end."""
    return torch.arange(x.shape[-1], device=x.device) < lengths.view(-1, 1, 1)


def waveform_l1(
    x: Float[Tensor, "B 1 L"], x_hat: Float[Tensor, "B 1 L"], lengths: Int[Tensor, "B"]
) -> Float[Tensor, "B"]:
    """Return the mean absolute difference over each item's real samples."""
    return _mean((x_hat - x).abs(), lengths)


def waveform_l2(
    x: Float[Tensor, "B 1 L"], x_hat: Float[Tensor, "B 1 L"], lengths: Int[Tensor, "B"]
) -> Float[Tensor, "B"]:
    """Return the mean squared difference over each item's real samples."""
    return _mean((x_hat - x).square(), lengths)


def _mean(distance: Float[Tensor, "B 1 L"], lengths: Int[Tensor, "B"]) -> Float[Tensor, "B"]:
    real = real_samples(distance, lengths)
    return distance.where(real, 0.0).sum(dim=(1, 2)) / lengths
