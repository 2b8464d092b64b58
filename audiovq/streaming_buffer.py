"""Samples of any number, in whole frames."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional as F

from audiovq.errors import AudioError


class Buffer:
    """Cuts what arrives into whole frames; holds less than one.

    Attributes:
        waiting: the samples of the incomplete frame.
        missing: zeros that completed the last frame.
    """

    def __init__(self, empty: Float[Tensor, "B 1 0"], hop_length: int) -> None:
        self.waiting, self.missing = empty, 0
        self._empty = empty
        self._hop, self._ended = hop_length, False

    def take(self, x: Float[Tensor, "B 1 L"], *, last: bool) -> Float[Tensor, "B 1 _"]:
        """Return the frames that are complete now, in a row.

        Raises:
            AudioError: the last samples were taken before.
        """
        if self._ended:
            raise AudioError("the last samples were given before; reset() begins new recordings")
        joined = torch.cat([self.waiting, x], dim=-1) if self.waiting.shape[-1] else x
        if last:
            self._ended, self.missing = True, -joined.shape[-1] % self._hop
            joined = F.pad(joined, (0, self.missing))
        rest = joined.shape[-1] % self._hop
        if not rest:
            self.waiting = self._empty
            return joined
        self.waiting = joined[..., -rest:].clone()  # without what came before in memory
        return joined[..., :-rest]


def cut(x: Shaped[Tensor, "B C L"], size: int) -> list[Shaped[Tensor, "B C {size}"]]:
    """Return the whole parts of that size; for one part, cheaper than `torch.split`."""
    return [x.narrow(-1, end - size, size) for end in range(size, x.shape[-1] + 1, size)]
