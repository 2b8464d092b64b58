"""Working through long items window by window, with the context that makes the result the same.

A window is a core of frames plus as many frames on either side as the network sees. Frames
outside the item are masked, so every layer sees zeros there, exactly as at a file's own edges.

The plan of windows depends on the item's own length alone: what is computed for an item, in which
shapes, is the same alone, in any batch, under any padding and from any stream of blocks.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor
from torch.nn import functional as F

# Few lengths, so that kernels are reused; steps of at most 33 %, so that short items stay cheap.
CORES = (32, 64, 96, 128, 192, 256, 384, 512)

Process = Callable[
    [Shaped[Tensor, "B C W"], Bool[Tensor, "B 1 T"] | None], Shaped[Tensor, "B C_out W_out"]
]


@dataclass(frozen=True)
class Window:
    """Frames [start, start + core) of an item, of which the first `real` exist."""

    start: int
    core: int
    real: int


def plan(frames: int, cores: tuple[int, ...] = CORES) -> list[Window]:
    """Cut an item into windows: as many of the longest core as fit, then the shortest that does."""
    windows = []
    for start in range(0, frames, cores[-1]):
        left = min(frames - start, cores[-1])
        windows.append(Window(start, min(c for c in cores if c >= left), left))
    return windows


@dataclass(frozen=True)
class Geometry:
    """How a step of the model maps columns to columns along time.

    Attributes:
        left, right: frames of context on either side of a core.
        per_frame_in, per_frame_out: columns per frame of what goes in and what comes out.
    """

    left: int
    right: int
    per_frame_in: int
    per_frame_out: int

    def cut(
        self, x: Shaped[Tensor, "1 C L"], window: Window, frames: int, offset: int = 0
    ) -> tuple[Shaped[Tensor, "1 C W"], Bool[Tensor, "1 1 T"]]:
        """Return a window's input and its mask of real frames.

        Args:
            x: columns of the item, from frame `offset` on; zeros stand in for what is missing.
            window: which frames.
            frames: frames of the whole item.
            offset: frame at which `x` starts.
        """
        first, last = window.start - self.left, window.start + window.core + self.right
        lo, hi = max(first, offset), min(last, frames)
        r = self.per_frame_in
        part = x[..., (lo - offset) * r : (hi - offset) * r]
        part = F.pad(
            part, ((lo - first) * r, (last - first) * r - (lo - first) * r - part.shape[-1])
        )
        index = torch.arange(first, last, device=x.device)
        return part, ((index >= 0) & (index < frames)).view(1, 1, -1)

    def keep(self, y: Shaped[Tensor, "B C W"], window: Window) -> Shaped[Tensor, "B C W_out"]:
        """Return what a window's output says about its own real frames."""
        start = self.left * self.per_frame_out
        return y[..., start : start + window.real * self.per_frame_out]


def run(
    x: Shaped[Tensor, "1 C L"],
    frames: int,
    process: Process,
    geometry: Geometry,
    cores: tuple[int, ...] = CORES,
) -> Shaped[Tensor, "1 C_out L_out"]:
    """Process one item window by window, one per call."""
    parts = []
    for window in plan(frames, cores):
        part, mask = geometry.cut(x, window, frames)
        parts.append(geometry.keep(process(part, mask), window))
    return torch.cat(parts, dim=-1)


def run_grouped(
    items: list[tuple[Shaped[Tensor, "1 C _"], int]],
    process: Process,
    geometry: Geometry,
    batch_size: int,
) -> list[Shaped[Tensor, "1 C_out _"]]:
    """Process items in batches of one fixed size, windows of equal shape together.

    On a GPU one window per call wastes the device; a batch that is always full, with blank
    windows where there is nothing, keeps the kernels the same whoever the neighbours are.
    """
    groups: dict[int, list[tuple[int, Window]]] = {}
    for i, (_, frames) in enumerate(items):
        for window in plan(frames):
            groups.setdefault(window.core, []).append((i, window))
    done: dict[tuple[int, int], Tensor] = {}
    for jobs in groups.values():
        for first in range(0, len(jobs), batch_size):
            batch = jobs[first : first + batch_size]
            cuts = [geometry.cut(items[i][0], w, items[i][1]) for i, w in batch]
            blank = batch_size - len(batch)
            x = F.pad(torch.cat([c[0] for c in cuts]), (0, 0, 0, 0, 0, blank))
            mask = F.pad(torch.cat([c[1] for c in cuts]), (0, 0, 0, 0, 0, blank))
            y = process(x, mask)
            for row, (i, w) in enumerate(batch):
                done[i, w.start] = geometry.keep(y[row : row + 1], w)
    return [
        torch.cat([done[i, w.start] for w in plan(frames)], dim=-1)
        for i, (_, frames) in enumerate(items)
    ]


def stream(
    blocks: Iterable[Shaped[Tensor, "1 C _"]], process: Process, geometry: Geometry
) -> Iterator[Shaped[Tensor, "1 C_out _"]]:
    """Process an item that arrives in blocks of any size; equal to `run` on the whole.

    Holds one window and its context. The last frame is filled up with zeros.
    """
    r, core = geometry.per_frame_in, CORES[-1]
    pending: list[Tensor] = []
    held = torch.empty(0)
    offset = start = 0  # frame at which `held` begins; frame of the next window
    samples = 0  # received so far

    def emit(window: Window, frames: int) -> Tensor:
        part, mask = geometry.cut(held, window, frames, offset)
        return geometry.keep(process(part, mask), window)

    for block in blocks:
        pending.append(block)
        samples += block.shape[-1]
        while samples >= (start + core + geometry.right) * r:
            held, pending = _join(held, pending), []
            yield emit(Window(start, core, core), samples // r)
            start += core
            drop = max(0, start - geometry.left - offset)
            held, offset = held[..., drop * r :], offset + drop
    if samples == 0:
        return
    held, frames = _join(held, pending), -(-samples // r)
    for window in plan(frames - start):
        yield emit(Window(start + window.start, window.core, window.real), frames)


def _join(held: Tensor, pending: list[Tensor]) -> Tensor:
    return torch.cat([held, *pending] if held.numel() else pending, dim=-1) if pending else held
