"""The gate of WaveNet and PixelCNN."""

from jaxtyping import Float
from torch import Tensor


def gated(gate: Float[Tensor, "B C2 *S"]) -> Float[Tensor, "B C *S"]:
    """Return tanh of the first half of the channels times sigmoid of the second."""
    a, b = gate.chunk(2, dim=1)
    return a.tanh() * b.sigmoid()
