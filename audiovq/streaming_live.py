"""A stream at the pace of the sound, and how long each block takes."""

import time
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from audiovq.errors import AudioError

if TYPE_CHECKING:
    from audiovq.export.live import ExportedStream
    from audiovq.streaming import Stream


@dataclass(frozen=True)
class Timing:
    """How a stream kept up.

    A block's latency is from when it is there to when what it completes has been computed; waiting
    for a frame to be complete, the stream's own latency, comes on top.

    Attributes:
        seconds: of sound that came in.
        blocks: in which it came.
        block_ms: length of a block (ms).
        frame_ms: the stream's own latency (ms).
        median_ms: of the blocks' latencies (ms).
        p95_ms: what 95 % of them stay below (ms).
        worst_ms: the longest (ms).
        late: blocks not done when the next one was there.
        speed: seconds of sound per second of work.
    """

    seconds: float
    blocks: int
    block_ms: float
    frame_ms: float
    median_ms: float
    p95_ms: float
    worst_ms: float
    late: int
    speed: float


class Clock:
    """Says when blocks are there, and notes when they are done.

    Args:
        block_seconds: sound in a block.
        paced: whether blocks come at the pace of the sound; otherwise one is there when it is
            asked for, as from a pipe whose other end keeps the pace.
    """

    def __init__(self, block_seconds: float, *, paced: bool) -> None:
        self.block_seconds, self._paced = block_seconds, paced
        self._latencies, self._work = array("d"), 0.0
        self._start = time.perf_counter()
        self._there = self._begun = self._start

    def wait(self) -> None:
        """Return when the next block is there."""
        now = time.perf_counter()
        self._there = now
        if self._paced:
            self._there = self._start + (len(self._latencies) + 1) * self.block_seconds
            time.sleep(max(0.0, self._there - now))
        self._begun = time.perf_counter()

    def done(self) -> None:
        """Note that what the block completes has been computed."""
        now = time.perf_counter()
        self._latencies.append(now - self._there)
        self._work += now - self._begun

    def timing(self, seconds: float, frame_seconds: float) -> Timing:
        """Return how it went; of `seconds` of sound, with so much latency of the stream's own."""
        each = 1000 * np.frombuffer(self._latencies, np.float64)
        return Timing(
            seconds=seconds,
            blocks=len(each),
            block_ms=1000 * self.block_seconds,
            frame_ms=1000 * frame_seconds,
            median_ms=float(np.median(each)),
            p95_ms=float(np.quantile(each, 0.95)),
            worst_ms=float(each.max()),
            late=int((each > 1000 * self.block_seconds).sum()),
            speed=seconds / max(self._work, 1e-9),
        )


@dataclass(frozen=True)
class Heard:
    """What a block completes.

    Attributes:
        samples: of it.
        codes: None of a stream that only reconstructs.
        x_hat: None of a stream that only encodes.
    """

    samples: int
    codes: Int[Tensor, "1 K _"] | None
    x_hat: Float[Tensor, "1 1 _"] | None


def listen(
    stream: "Stream | ExportedStream",
    blocks: Iterable[Float[Tensor, "1 1 _"]],
    clock: Clock,
    *,
    codes: bool,
    sound: bool,
    codebooks: int | None = None,
) -> Iterator[Heard]:
    """Pass blocks through a stream, each when it is there; the last frame is completed by zeros.

    Args:
        stream: of one recording.
        blocks: of the clock's length, the last one shorter or not.
        clock: that says when they are there.
        codes: whether codes are wanted; then sound, if it is, comes from them.
        sound: whether sound is wanted.
        codebooks: keep the first so many rows of codes; None: all.

    Raises:
        AudioError: no sample arrives, or one is not finite.
    """
    received = given = 0
    nothing = torch.zeros(1, 1, 0)
    for block, last in with_end(blocks, nothing):
        if not last:
            clock.wait()
        received += block.shape[-1]
        found = stream.encode(block, last=last)[:, :codebooks] if codes else None
        x_hat = _sound(stream, block, found, last=last) if sound else None
        if x_hat is not None:  # the last frame may be longer than what came in
            x_hat = x_hat[..., : received - given]
            given += x_hat.shape[-1]
        if not last:
            clock.done()
        yield Heard(block.shape[-1], found, x_hat)
    if not received:
        raise AudioError("no sample arrived: the input is empty")


def with_end(
    blocks: Iterable[Float[Tensor, "1 1 _"]], nothing: Float[Tensor, "1 1 0"]
) -> Iterator[tuple[Float[Tensor, "1 1 _"], bool]]:
    """Yield blocks as they come, and behind them nothing, marked as the last."""
    for block in blocks:
        yield block, False
    yield nothing, True


def cut(blocks: Iterable[Float[Tensor, "1 1 _"]], size: int) -> Iterator[Float[Tensor, "1 1 _"]]:
    """Yield what comes in blocks of `size` samples, the last one shorter."""
    waiting = torch.zeros(1, 1, 0)
    for block in blocks:
        waiting = torch.cat([waiting, block], dim=-1)
        whole = waiting.shape[-1] // size * size
        if whole:
            yield from torch.split(waiting[..., :whole], size, dim=-1)
        waiting = waiting[..., whole:]
    if waiting.shape[-1]:
        yield waiting


def _sound(
    stream: "Stream | ExportedStream",
    block: Float[Tensor, "1 1 _"],
    codes: Int[Tensor, "1 K _"] | None,
    *,
    last: bool,
) -> Float[Tensor, "1 1 _"]:
    if codes is None:
        return stream.reconstruct(block, last=last)
    return stream.decode(codes)
