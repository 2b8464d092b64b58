"""A uniform sample of rows in bounded memory, whatever the order they come in."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

_ANY = torch.iinfo(torch.int64).max


class Reservoir:
    """Keeps the rows with the lowest hashes.

    Which rows those are depends on the rows alone: not on their order, on how they were grouped,
    or on interruptions between.

    Args:
        capacity: rows to keep.
        dim: values per row.
        below: rows with a hash of this or more are not wanted.
    """

    def __init__(self, capacity: int, dim: int, below: int = _ANY) -> None:
        self.capacity, self.below = capacity, below
        self._hashes = [torch.empty(0, dtype=torch.int64)]
        self._rows = [torch.empty(0, dim)]
        self._waiting = 0

    def add(self, hashes: Int[Tensor, "R"], rows: Float[Tensor, "R D"]) -> None:
        """Offer rows."""
        wanted = hashes < self.below
        self._hashes.append(hashes[wanted])
        self._rows.append(rows[wanted])
        self._waiting += len(self._hashes[-1])
        if self._waiting > self.capacity // 4 + 1024:
            self.settle()

    def settle(self) -> tuple[Int[Tensor, "M"], Float[Tensor, "M D"]]:
        """Return the hashes kept, ascending, and their rows."""
        hashes = torch.cat(self._hashes)
        order = hashes.argsort(stable=True)[: self.capacity]
        self._hashes, self._rows = [hashes[order]], [torch.cat(self._rows)[order]]
        self._waiting = 0
        if len(order) == self.capacity:
            self.below = min(self.below, int(self._hashes[0][-1]))
        return self._hashes[0], self._rows[0]
