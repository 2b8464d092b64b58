"""Where an encoder gives the same bits: at which widths of windows, and at any place in them.

Floating-point kernels may add up in another order for another size or place. Here that is tried
out, once per process, with one signal at several places among others: what agrees to the last bit
may be packed together, and what does not is left alone.
"""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor

from audiovq import packing, windows
from audiovq.encoders._base import Encoder

_known: WeakKeyDictionary[Encoder, dict[tuple[object, ...], "Agreement"]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Agreement:
    """Widths at which windows may be computed, and whether several items may share one.

    Attributes:
        widths: ascending; where `packs`, those that give the bits of the longest at every place.
        packs: whether place and company change no bit.
    """

    widths: tuple[int, ...]
    packs: bool


def of(
    encoder: Encoder,
    front: windows.Process,
    widths: tuple[int, ...],
    spacing: packing.Spacing,
    dtype: torch.dtype,
) -> Agreement:
    """Return what an encoder agrees on, at this number of threads.

    Args:
        encoder: for which the answer is kept while it exists.
        front: runs it on a waveform and a mask of real frames.
        widths: of windows that would be used, ascending.
        spacing: what would keep items apart.
        dtype: of the waveforms.
    """
    key = (widths, spacing, dtype, torch.get_num_threads())
    known = _known.setdefault(encoder, {})
    if key not in known:
        known[key] = _try_out(front, widths, spacing, encoder.hop_length, dtype)
    return known[key]


def _try_out(
    front: windows.Process,
    widths: tuple[int, ...],
    spacing: packing.Spacing,
    hop: int,
    dtype: torch.dtype,
) -> Agreement:
    longest, size, gap = widths[-1], max(1, widths[0] - 1), spacing.gap
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, 1, (longest + size) * hop, generator=generator).to(dtype) * 0.1
    company, signal = noise[..., : longest * hop], noise[..., longest * hop : -(hop // 3) or None]

    def at(place: int, width: int) -> Float[Tensor, "1 C _"]:
        x = company[..., : width * hop].clone()
        mask = torch.ones(1, 1, width, dtype=torch.bool)
        lo, hi = max(0, place - gap), place + size + gap
        x[..., lo * hop : hi * hop] = 0
        mask[..., lo:hi] = False
        x[..., place * hop : place * hop + signal.shape[-1]] = signal
        mask[..., place : place + size] = True
        return front(x, mask)[..., place : place + size]

    def agrees(width: int) -> bool:
        last = (width - size) // spacing.step * spacing.step
        places = {0, spacing.after(0), spacing.after(last // 2), last}
        return all(torch.equal(at(p, width), alone) for p in places if p <= last)

    alone = at(0, longest)
    if not agrees(longest):
        return Agreement(widths, packs=False)
    return Agreement(tuple(w for w in widths if w == longest or agrees(w)), packs=True)
