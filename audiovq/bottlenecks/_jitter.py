"""Time jitter: in training, some frames are replaced by a neighbour."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from audiovq.bottlenecks._base import Context
from audiovq.config import ComponentConfig
from audiovq.nn import random


class JitterConfig(ComponentConfig):
    """What every discrete bottleneck has: an option to jitter its frames in training."""

    jitter: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="probability that training replaces a frame by a neighbour; 0.12 in "
        "Chorowski et al. 2019, 0.5 in van Niekerk et al. 2020",
    )


def jitter(
    z: Float[Tensor, "B D T"], probability: float, context: Context
) -> Float[Tensor, "B D T"]:
    """Replace frames by their left or right neighbour, so that no code can rely on the next.

    Source: Chorowski et al. 2019 (arXiv:1901.08810), section II.C. A neighbour that does not
    exist, or is masked, replaces nothing.

    Args:
        z: frames.
        probability: that a frame is replaced; half of it from either side.
        context: keys that decide which, and the mask.
    """
    if probability == 0.0:
        return z
    B, _, T = z.shape
    drawn = random.uniform(keys_of(context, z), "jitter", T)
    step = (drawn < probability).long() - 2 * (drawn < probability / 2).long()
    own = torch.arange(T, device=z.device).expand(B, T)
    source = (own + step).clamp(0, T - 1)
    if context.mask is not None:
        source = torch.where(context.mask.squeeze(1).gather(1, source), source, own)
    return z.gather(2, source.unsqueeze(1).expand_as(z))


def keys_of(context: Context, z: Float[Tensor, "B D T"]) -> Tensor:
    """Return one key per item: the context's, or the item's number where it has none."""
    if context.keys is not None:
        return context.keys
    return torch.arange(len(z), device=z.device)
