"""Dropout whose draws are pure functions of (item key, name, position)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from audiovq.nn import random

_STEPS = 1 << 16  # a draw is 16 bits: a quarter of the hashes that 64 would take


def dropout(
    x: Float[Tensor, "B S *C"], probability: float, keys: Int[Tensor, "B"], name: str
) -> Float[Tensor, "B S *C"]:
    """Set elements to 0 and scale the rest, so that the expectation stays.

    The position of an element counts from the first frame on, so padding changes no draw.

    Args:
        x: frames first, then what a frame has.
        probability: that an element is set to 0, rounded to 1/65536; in [0, 1).
        keys: one integer per item.
        name: what is drawn.
    """
    dropped = min(round(probability * _STEPS), _STEPS - 1)
    if dropped == 0:
        return x
    size = x[0].numel()
    drawn = random.bits(keys, name, -(-size // 4)).view(torch.int16)[:, :size]
    kept = (drawn >= dropped - _STEPS // 2).view(x.shape)
    return torch.where(kept, x * (_STEPS / (_STEPS - dropped)), 0.0)
