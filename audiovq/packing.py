"""Windows that several items share, where neither width, place nor company changes a bit."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from audiovq.windows import Geometry, Job, Process, Window, fit, joined

_OPEN = 64  # packed windows that are tried for room: few, so that packing stays linear


@dataclass(frozen=True, slots=True)
class Placed:
    """A window of an item within one that several share, from frame `at` on."""

    at: int
    item: int
    window: Window


Bin = list[Placed]


@dataclass(frozen=True)
class Spacing:
    """What keeps items in one window apart.

    Attributes:
        gap: masked frames between them, at least.
        step: places are multiples of so many frames.
    """

    gap: int
    step: int

    def after(self, end: int) -> int:
        """Return the first place after an item that ends at frame `end`."""
        return -(-(end + self.gap) // self.step) * self.step


def run(
    items: list[tuple[Shaped[Tensor, "1 C _"], int]],
    process: Process,
    geometry: Geometry,
    widths: Sequence[int],
    spacing: Spacing,
) -> list[Shaped[Tensor, "1 C_out _"]]:
    """Process items in windows that several of them share; equal to `windows.run` on each.

    Args:
        items: columns and frames of each.
        process: gives the same bits at every width, place and in every company.
        geometry: of the process.
        widths: that windows may have.
        spacing: what keeps two items apart.
    """
    jobs = [(i, w) for i, (_, n) in enumerate(items) for w in geometry.plan(n, widths[-1])]
    done: dict[tuple[int, int], Tensor] = {}
    for bin_ in _pack(jobs, widths[-1], spacing):
        y = process(*_fill(items, bin_, geometry, widths))
        for placed in bin_:
            done[placed.item, placed.window.start] = geometry.keep(y, placed.window, placed.at)
    return joined(items, done, geometry, widths[-1])


def _pack(jobs: Sequence[Job], width: int, spacing: Spacing) -> list[Bin]:
    """Put windows side by side, longest first, each into the first place with room."""
    full: list[Bin] = []
    open_: list[Bin] = []
    ordered = sorted(jobs, key=lambda job: -job[1].frames)
    least = ordered[-1][1].frames

    def room(bin_: Bin) -> int:
        return spacing.after(bin_[-1].at + bin_[-1].window.frames)

    for i, window in ordered:
        with_room = (k for k, b in enumerate(open_) if room(b) + window.frames <= width)
        k = next(with_room, len(open_))
        if k == len(open_):
            open_.append([Placed(0, i, window)])
        else:
            open_[k].append(Placed(room(open_[k]), i, window))
        if room(open_[k]) + least > width:
            full.append(open_.pop(k))
        elif len(open_) > _OPEN:
            full.append(open_.pop(0))
    return full + open_


def _fill(
    items: list[tuple[Shaped[Tensor, "1 C _"], int]],
    bin_: Bin,
    geometry: Geometry,
    widths: Sequence[int],
) -> tuple[Shaped[Tensor, "1 C W"], Bool[Tensor, "1 1 T"] | None]:
    """Return one window's input and mask with all that was packed into it."""
    last = bin_[-1]
    r, like = geometry.per_frame_in, items[last.item][0]
    width = fit(last.at + last.window.frames, widths)
    if len(bin_) == 1:
        return geometry.cut(like, last.window, width)
    x = like.new_zeros(1, like.shape[1], width * r)
    mask = torch.zeros(1, 1, width, dtype=torch.bool)
    for placed in bin_:
        at, window = placed.at, placed.window
        part = items[placed.item][0][..., window.first * r : window.end * r]
        x[..., at * r : at * r + part.shape[-1]] = part
        mask[..., at : at + window.frames] = True
    return x, mask
