"""Changes of codes: pure functions of codes (K, T) and spans of frames."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional as F

from audiovq.errors import ConfigError

from .streams import Books, apart, together

MOST_WIDTH = 99  # codes that `smooth` looks at around each


@dataclass(frozen=True)
class Span:
    """Frames [start, stop) of codes."""

    start: int
    stop: int

    @property
    def frames(self) -> int:
        """How many."""
        return self.stop - self.start


def span_of(start: float, end: float, frame_rate: float, frames: int) -> Span:
    """Return the frames that a stretch of time (s) touches.

    Raises:
        ConfigError: it holds no frame of the recording.
    """
    seconds = frames / frame_rate
    if not 0 <= start < end or start >= seconds:  # NaN is neither
        raise ConfigError(
            f"the span from {start:g} to {end:g} s holds nothing: choose a start below its end, "
            f"within the {seconds:.2f} s of the recording"
        )
    # 1.1 s * 50 Hz is 55.00000000000001 frames: a millionth of a frame is none
    first = math.floor(start * frame_rate + 1e-6)
    stop = math.ceil(min(end, seconds) * frame_rate - 1e-6)
    return Span(min(first, frames - 1), min(max(stop, first + 1), frames))


def swap(codes: Int[Tensor, "K T"], first: Span, second: Span) -> Int[Tensor, "K T"]:
    """Exchange two spans, which may differ in length but not overlap."""
    a, b = sorted((first, second), key=lambda s: s.start)
    if a.stop > b.start:
        raise ConfigError("the two spans overlap: choose spans apart from each other")
    parts = (
        codes[:, : a.start],
        codes[:, b.start : b.stop],
        codes[:, a.stop : b.start],
        codes[:, a.start : a.stop],
        codes[:, b.stop :],
    )
    return torch.cat(parts, dim=1)


def repeat(codes: Int[Tensor, "K T"], span: Span, times: int) -> Int[Tensor, "K _"]:
    """Let a span occur so many times in a row."""
    if times < 1:
        raise ConfigError(f"{times} times: at least once; erase removes a span")
    again = codes[:, span.start : span.stop].repeat(1, times)
    return torch.cat((codes[:, : span.start], again, codes[:, span.stop :]), dim=1)


def erase(codes: Int[Tensor, "K T"], span: Span) -> Int[Tensor, "K _"]:
    """Cut a span out; at least a frame must remain."""
    if span.frames >= codes.shape[1]:
        raise ConfigError("nothing would be left: choose a shorter span")
    return torch.cat((codes[:, : span.start], codes[:, span.stop :]), dim=1)


def reverse(codes: Int[Tensor, "K T"], span: Span, books: Books) -> Int[Tensor, "K T"]:
    """Turn a span around in time, also within frames where a stream is faster than they are."""
    turned = [stream.flip(0) for stream in apart(codes[:, span.start : span.stop], books)]
    return _put(codes, span, together(turned, books))


def smooth(codes: Int[Tensor, "K T"], span: Span, width: int, books: Books) -> Int[Tensor, "K T"]:
    """Give each code of a span the commonest value among its `width` neighbours in its stream.

    Args:
        codes: of any model.
        span: what to change; its neighbours outside are looked at, too.
        width: odd; how many codes around each, itself included; fewer at the ends.
        books: which codebook each row is from.

    A tie leaves the code if it is among the commonest, else takes the lowest.
    """
    if width < 1 or width % 2 == 0 or width > MOST_WIDTH:
        raise ConfigError(f"width {width}: an odd number from 1 to {MOST_WIDTH} is accepted")
    smoothed = together([_majority(stream, width) for stream in apart(codes, books)], books)
    return _put(codes, span, smoothed[:, span.start : span.stop])


def _majority(stream: Int[Tensor, "T"], width: int) -> Int[Tensor, "T"]:
    """Return the commonest value around each place."""
    around = F.pad(stream, (width // 2, width // 2), value=-1).unfold(0, width, 1)
    counts = (around.unsqueeze(2) == around.unsqueeze(1)).sum(2)  # of each neighbour's value
    counts = counts.masked_fill(around < 0, 0)
    most = counts.amax(1, keepdim=True)
    lowest = around.masked_fill(counts < most, torch.iinfo(around.dtype).max).amin(1)
    return torch.where(counts[:, width // 2] == most[:, 0], stream, lowest)


def _put(codes: Int[Tensor, "K T"], span: Span, new: Int[Tensor, "K S"]) -> Int[Tensor, "K T"]:
    return torch.cat((codes[:, : span.start], new, codes[:, span.stop :]), dim=1)
