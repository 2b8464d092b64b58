"""Working through long items window by window, with the context that makes the result the same.

A window is a range of an item's frames with as many on either side as the network sees. Frames
outside the item are masked, so every layer sees zeros there, exactly as at a file's own edges.

Which windows an item is cut into depends on its own length alone, so that what is computed for it
is the same alone, in any batch, under any padding and from any stream of blocks. In which shape a
window is computed may depend on its company (`audiovq.packing`), where shapes make no difference.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor
from torch.nn import functional as F

# Samples per window. On a CPU the longest fills a core's cache; a longer one is slower. Steps are
# of at most a half from the third on, so that short items stay cheap.
_SAMPLES = (5120, 10240, 15360, 20480, 30720, 40960)
_SAMPLES_GPU = (10240, 20480, 30720, 40960, 61440, 81920, 122880, 163840)

Process = Callable[
    [Shaped[Tensor, "B C W"], Bool[Tensor, "B 1 T"] | None], Shaped[Tensor, "B C_out W_out"]
]


@dataclass(frozen=True)
class Window:
    """Frames [first, end) of an item, put in to learn what its frames [start, stop) give."""

    first: int
    start: int
    stop: int
    end: int

    @property
    def frames(self) -> int:
        """Frames put in."""
        return self.end - self.first


Job = tuple[int, Window]  # of which item


@dataclass(frozen=True)
class Geometry:
    """How a step of the model maps columns to columns along time.

    Attributes:
        left, right: frames of context on either side of a frame.
        per_frame_in, per_frame_out: columns per frame of what goes in and what comes out.
    """

    left: int
    right: int
    per_frame_in: int
    per_frame_out: int

    def widths(self, hop_length: int, device: str = "cpu") -> tuple[int, ...]:
        """Return the widths of windows in frames, ascending, for frames of that many samples."""
        samples = _SAMPLES if device == "cpu" else _SAMPLES_GPU
        least = -(-4 * (self.left + self.right + 1) // len(samples))  # most of it is no context
        return tuple(sorted({max(n // hop_length, least * (i + 1)) for i, n in enumerate(samples)}))

    def plan(self, frames: int, width: int, start: int = 0) -> list[Window]:
        """Cut an item, from frame `start` on, into windows of at most `width` frames."""
        windows = []
        while start < frames:
            first = max(0, start - self.left)
            end = min(frames, first + width)
            stop = frames if end == frames else end - self.right
            windows.append(Window(first, start, stop, end))
            start = stop
        return windows

    def cut(
        self, x: Shaped[Tensor, "1 C _"], window: Window, width: int, offset: int = 0
    ) -> tuple[Shaped[Tensor, "1 C _"], Bool[Tensor, "1 1 {width}"] | None]:
        """Return a window's input, filled up to `width`, and its mask; None: all is real.

        Args:
            x: columns of the item, from frame `offset` on; zeros stand in for what is missing.
            window: which frames.
            width: frames of the result.
            offset: frame at which `x` starts.
        """
        r = self.per_frame_in
        part = x[..., (window.first - offset) * r : (window.end - offset) * r]
        part = F.pad(part, (0, width * r - part.shape[-1]))
        if window.frames == width:
            return part, None
        return part, (torch.arange(width, device=x.device) < window.frames).view(1, 1, -1)

    def keep(
        self, y: Shaped[Tensor, "B C _"], window: Window, at: int = 0
    ) -> Shaped[Tensor, "B C _"]:
        """Return what an output says about the frames of a window that lies at frame `at`."""
        r, shift = self.per_frame_out, at - window.first
        return y[..., (window.start + shift) * r : (window.stop + shift) * r]


def fit(frames: int, widths: Sequence[int]) -> int:
    """Return the smallest width that holds so many frames."""
    return next(w for w in widths if w >= frames)


def run(
    x: Shaped[Tensor, "1 C _"],
    frames: int,
    process: Process,
    geometry: Geometry,
    widths: Sequence[int],
) -> Shaped[Tensor, "1 C_out _"]:
    """Process one item window by window, one per call."""
    parts = []
    for window in geometry.plan(frames, widths[-1]):
        part, mask = geometry.cut(x, window, fit(window.frames, widths))
        parts.append(geometry.keep(process(part, mask), window))
    return torch.cat(parts, dim=-1)


def run_grouped(
    items: list[tuple[Shaped[Tensor, "1 C _"], int]],
    process: Process,
    geometry: Geometry,
    widths: Sequence[int],
    batch_size: int,
) -> list[Shaped[Tensor, "1 C_out _"]]:
    """Process items in batches of one fixed size, windows of equal shape together.

    On a GPU one window per call wastes the device; a batch that is always full, with blank
    windows where there is nothing, keeps the kernels the same whoever the neighbours are.
    """
    groups: dict[int, list[Job]] = {}
    for i, (_, frames) in enumerate(items):
        for window in geometry.plan(frames, widths[-1]):
            groups.setdefault(fit(window.frames, widths), []).append((i, window))
    done: dict[tuple[int, int], Tensor] = {}
    for width, jobs in groups.items():
        for first in range(0, len(jobs), batch_size):
            batch = jobs[first : first + batch_size]
            y = process(*_stack(items, batch, geometry, width, batch_size))
            for row, (i, w) in enumerate(batch):
                done[i, w.start] = geometry.keep(y[row : row + 1], w)
    return joined(items, done, geometry, widths[-1])


def joined(
    items: list[tuple[Shaped[Tensor, "1 C _"], int]],
    done: dict[tuple[int, int], Tensor],
    geometry: Geometry,
    width: int,
) -> list[Shaped[Tensor, "1 C_out _"]]:
    """Return each item's output, given its parts by item and the frame at which they start."""
    return [
        torch.cat([done[i, w.start] for w in geometry.plan(frames, width)], dim=-1)
        for i, (_, frames) in enumerate(items)
    ]


def stream(
    blocks: Iterable[Shaped[Tensor, "1 C _"]],
    process: Process,
    geometry: Geometry,
    widths: Sequence[int],
) -> Iterator[Shaped[Tensor, "1 C_out _"]]:
    """Process an item that arrives in blocks of any size; equal to `run` on the whole.

    Holds one window and its context. The last frame is filled up with zeros.
    """
    r, width = geometry.per_frame_in, widths[-1]
    pending: list[Tensor] = []
    held = torch.empty(0)
    offset = start = 0  # frame at which `held` begins; frame of the next window
    samples = 0  # received so far

    def emit(window: Window) -> Tensor:
        part, mask = geometry.cut(held, window, fit(window.frames, widths), offset)
        return geometry.keep(process(part, mask), window)

    for block in blocks:
        pending.append(block)
        samples += block.shape[-1]
        # More than fits one window: only then is it certain that this is not the last one.
        while samples > (max(0, start - geometry.left) + width) * r:
            held, pending = _join(held, pending), []
            window = geometry.plan(-(-samples // r), width, start)[0]
            yield emit(window)
            start = window.stop
            drop = max(0, start - geometry.left - offset)
            held, offset = held[..., drop * r :], offset + drop
    if samples == 0:
        return
    held = _join(held, pending)
    for window in geometry.plan(-(-samples // r), width, start):
        yield emit(window)


def _stack(
    items: list[tuple[Shaped[Tensor, "1 C _"], int]],
    batch: list[Job],
    geometry: Geometry,
    width: int,
    batch_size: int,
) -> tuple[Shaped[Tensor, "B C W"], Bool[Tensor, "B 1 T"]]:
    """Return windows of one width as a batch of fixed size, blank where there are too few."""
    cuts = [geometry.cut(items[i][0], w, width)[0] for i, w in batch]
    x = F.pad(torch.cat(cuts), (0, 0, 0, 0, 0, batch_size - len(batch)))
    ends = torch.tensor([w.frames for _, w in batch] + [0] * (batch_size - len(batch)))
    index = torch.arange(width, device=x.device)
    return x, (index < ends.to(x.device).unsqueeze(1)).unsqueeze(1)


def _join(held: Tensor, pending: list[Tensor]) -> Tensor:
    return torch.cat([held, *pending] if held.numel() else pending, dim=-1) if pending else held
