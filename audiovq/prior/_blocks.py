"""Log-probabilities in blocks of frames: exact, in memory that no sequence's length decides."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from audiovq.prior._base import Condition, Prior

LOGITS = 1 << 22  # at a time, 4 bytes each


def in_blocks(
    prior: "Prior",
    codes: Int[Tensor, "B K T"],
    lengths: Int[Tensor, "B"] | None,
    condition: "Condition",
) -> Float[Tensor, "B K T"]:
    """Return what a prior makes of codes, block by block with the frames that each depends on."""
    K, T = codes.shape[1:]
    found = torch.zeros(codes.shape, device=codes.device)
    around = T if prior.context is None else prior.context + prior.ahead
    per_frame = K * max(prior.codebook_sizes)
    size = min(T, max(1, LOGITS // per_frame - around, around))
    many = max(1, LOGITS // (per_frame * min(T, size + around)))
    for items, end in groups_of(codes, lengths, many):
        for start in range(0, end, size):
            stop = min(start + size, end)
            first = 0 if prior.context is None else max(0, start - prior.context)
            last = min(stop + prior.ahead, end)
            left = None if lengths is None else (lengths[items] - first).clamp(0, last - first)
            part, known = codes[items, :, first:last], condition.part(items, T, first, last)
            logits = prior(part, left, known)[..., start - first : stop - first]
            left = None if lengths is None else (lengths[items] - start).clamp(0, stop - start)
            found[items, :, start:stop] = chosen(logits, codes[items, :, start:stop], left)
    return found


def groups_of(
    codes: Int[Tensor, "B K T"], lengths: Int[Tensor, "B"] | None, many: int
) -> Iterator[tuple[slice, int]]:
    """Yield so many items at a time, and how many frames the longest of them has."""
    B, _, T = codes.shape
    ends = [T] * B if lengths is None else lengths.tolist()
    for start in range(0, B, many):
        items = slice(start, start + many)
        yield items, min(T, max(ends[items]))


def chosen(
    logits: Float[Tensor, "B K N T"],
    codes: Int[Tensor, "B K T"],
    lengths: Int[Tensor, "B"] | None,
) -> Float[Tensor, "B K T"]:
    """Return the logarithm of each code's probability by its logits; 0 past an item's end."""
    B, K, N, T = logits.shape
    if lengths is not None:
        inside = torch.arange(T, device=codes.device) < lengths.view(-1, 1, 1)
        codes = torch.where(inside, codes, 0)
    flat = logits.permute(0, 1, 3, 2).reshape(-1, N).float()
    found = -F.cross_entropy(flat, codes.reshape(-1), reduction="none").view(B, K, T)
    return found if lengths is None else torch.where(inside, found, 0.0)
