"""Pointwise activations by name. Every one maps 0 to 0, so zero padding stays zero."""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

ActivationName = Literal["elu", "gelu", "leaky_relu", "silu", "snake"]


class Snake(nn.Module):
    """Periodic activation x + sin^2(a x) / a with one learned a > 0 per channel.

    Source: Ziyin et al. 2020 (arXiv:2006.08195), eq. 3; a per channel as in BigVGAN. Twice the
    cost of an ELU on a CPU.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_alpha = nn.Parameter(torch.zeros(channels, 1))

    def forward(self, x: Float[Tensor, "B C L"]) -> Float[Tensor, "B C L"]:
        """Return x + sin^2(a x) / a."""
        return snake(x, self.log_alpha.exp())


def snake(x: Float[Tensor, "*S"], alpha: Float[Tensor, "..."]) -> Float[Tensor, "*S"]:
    """Return x + sin^2(a x) / a."""
    return x + (alpha * x).sin().square() / alpha


_MAKERS: dict[ActivationName, Callable[[int], nn.Module]] = {
    "elu": lambda _: nn.ELU(),
    "gelu": lambda _: nn.GELU(),
    "leaky_relu": lambda _: nn.LeakyReLU(0.1),
    "silu": lambda _: nn.SiLU(),
    "snake": Snake,
}


def activation(name: ActivationName, channels: int) -> nn.Module:
    """Return a new activation module for inputs of that many channels."""
    return _MAKERS[name](channels)
