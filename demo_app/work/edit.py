"""Changing codes: pure functions on codes (K, T) and spans of frames; and what they sound like."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from audiovq.autoencoder import Autoencoder

from ..sound import Recording

Books = Sequence[int]  # which codebook each row of codes is from (`DiscreteBottleneck.books`)
OPERATIONS = ("swap", "repeat", "erase", "reverse", "smooth")


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
    raise NotImplementedError


def swap(codes: Int[Tensor, "K T"], first: Span, second: Span) -> Int[Tensor, "K T"]:
    """Exchange two spans, which may differ in length but not overlap."""
    raise NotImplementedError


def repeat(codes: Int[Tensor, "K T"], span: Span, times: int) -> Int[Tensor, "K _"]:
    """Let a span occur so many times in a row."""
    raise NotImplementedError


def erase(codes: Int[Tensor, "K T"], span: Span) -> Int[Tensor, "K _"]:
    """Cut a span out; at least a frame must remain."""
    raise NotImplementedError


def reverse(codes: Int[Tensor, "K T"], span: Span, books: Books) -> Int[Tensor, "K T"]:
    """Turn a span around in time, also within frames where a stream is faster than they are."""
    raise NotImplementedError


def smooth(codes: Int[Tensor, "K T"], span: Span, width: int, books: Books) -> Int[Tensor, "K T"]:
    """Give each code of a span the commonest value among its `width` neighbours in its stream.

    Args:
        codes: of any model.
        span: what to change; its neighbours outside are looked at, too.
        width: odd; how many codes around each, itself included; fewer at the ends.
        books: which codebook each row is from.

    A tie leaves the code if it is among the commonest, else takes the lowest.
    """
    raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Edit:
    """What to do, in times.

    Attributes:
        operation: one of `OPERATIONS`.
        start: of the span (s).
        end: of the span (s).
        other_start: of the span that it is swapped with (s).
        other_end: of that span (s).
        times: that it occurs, of `repeat`.
        width: codes looked at, of `smooth`; odd.
    """

    operation: str
    start: float
    end: float
    other_start: float = 0.0
    other_end: float = 0.0
    times: int = 2
    width: int = 5


@dataclass(frozen=True, kw_only=True)
class Edited:
    """Codes, and how they sound.

    Attributes:
        codes: now.
        recording: decoded from them, at the model's rate.
        span: frames that the last edit made or changed; None before the first one, and of `erase`.
        before: codes before it; None before the first one.
    """

    codes: Int[Tensor, "K T"]
    recording: Recording
    span: Span | None = None
    before: Int[Tensor, "K S"] | None = None


def begin(model: Autoencoder, recording: Recording) -> Edited:
    """Return the codes of a recording and their sound, to start from.

    Raises:
        ConfigError: the model is continuous.
        AudioError: the recording is empty or not finite.
    """
    raise NotImplementedError


def edit(model: Autoencoder, now: Edited, wish: Edit, *, max_seconds: float = 60.0) -> Edited:
    """Return the codes after one more edit, and their sound.

    Args:
        model: whose codes they are.
        now: where to go on from: what `begin` or `edit` returned.
        wish: what to do.
        max_seconds: longest result.

    Raises:
        ConfigError: the edit cannot be done; one line says why.
    """
    raise NotImplementedError
