"""An original and its reconstruction side by side, for recordings longer than memory."""

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Reconstructs(Protocol):
    """A model that reconstructs a stream."""

    def reconstruct_blocks(
        self, blocks: Iterable[Float[Tensor, "1 1 L"]]
    ) -> Iterator[Float[Tensor, "1 1 L"]]:
        """Yield the reconstruction, as long in all as what came in."""

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """Yield the parameters, which say on which device the model is."""


def side_by_side(
    model: Reconstructs, blocks: Iterable[Float[Tensor, "1 1 _"]], size: int
) -> Iterator[tuple[Float[Tensor, "1 1 L"], Float[Tensor, "1 1 L"]]]:
    """Yield (original, reconstruction) on the CPU in pieces of `size` samples, the last shorter.

    Holds a piece, and what the model has heard but not answered yet.
    """
    device = next(model.parameters()).device
    heard: list[Tensor] = []
    answered: list[Tensor] = []

    def listen() -> Iterator[Tensor]:
        for block in blocks:
            heard.append(block)
            yield block.to(device)

    for part in model.reconstruct_blocks(listen()):
        answered.append(part.cpu())
        while _length(answered) >= size:
            yield _take(heard, size), _take(answered, size)
    if answered and (rest := _length(answered)):
        yield _take(heard, rest), _take(answered, rest)


def _length(parts: list[Tensor]) -> int:
    return sum(p.shape[-1] for p in parts)


def _take(parts: list[Tensor], size: int) -> Tensor:
    """Remove and return the first `size` samples."""
    joined = torch.cat(parts, dim=-1)
    parts[:] = [joined[..., size:].clone()]
    return joined[..., :size]
