"""Recordings in, codes out: decoding in threads of its own, hidden behind the arithmetic."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch
from jaxtyping import Float, Int
from torch import Tensor

from audiovq.data.manifest import Manifest, Record
from audiovq.errors import AudioError
from audiovq.units.coder import Coder

STREAM_SECONDS = 60.0  # longer recordings are encoded in blocks, never held whole
BATCH_SECONDS = 120.0  # audio that is encoded together: 7.7 MB at 16 kHz

Outcome = Int[Tensor, "K _"] | AudioError


def batches(records: Sequence[Record], sample_rate: int) -> list[list[int]]:
    """Return which records are encoded together: short ones by length, long ones alone."""
    order = sorted(range(len(records)), key=lambda i: records[i].samples_at(sample_rate))
    found: list[list[int]] = []
    seconds = 0.0
    for i in order:
        duration = records[i].duration
        if not found or seconds + duration > BATCH_SECONDS or duration > STREAM_SECONDS:
            found.append([])
            seconds = 0.0
        found[-1].append(i)
        seconds += duration
    return found


class Pipeline:
    """Decodes and encodes batches of recordings side by side; a context manager.

    Args:
        coder: what gives codes.
        manifest: where the recordings are.
        exact: codes that do not depend on the batch.
        threads: batches encoded at a time, each with one thread of arithmetic, so that codes do
            not depend on their number; as many again decode.
    """

    def __init__(self, coder: Coder, manifest: Manifest, *, exact: bool, threads: int) -> None:
        self._coder, self._manifest, self._exact = coder, manifest, exact
        self.capacity = threads + 1  # batches worth having under way
        self._decoders = ThreadPoolExecutor(threads)
        self._encoders = ThreadPoolExecutor(
            threads, initializer=torch.set_num_threads, initargs=(1,)
        )

    def __enter__(self) -> "Pipeline":  # noqa: PYI034  (beartype refuses Self here)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        """Wait for what is under way; on an error forget what is queued."""
        for pool in (self._decoders, self._encoders):
            pool.shutdown(wait=True, cancel_futures=kind is not None)

    def submit(self, records: Sequence[Record]) -> "Future[list[Outcome]]":
        """Begin with a batch; its result has one outcome for each recording."""
        if len(records) == 1 and records[0].duration > STREAM_SECONDS:
            return self._encoders.submit(self._stream, records[0])
        loaded = [self._decoders.submit(self._load, record) for record in records]
        return self._encoders.submit(self._encode, loaded)

    def _load(self, record: Record) -> Float[Tensor, "1 1 _"] | AudioError:
        try:
            return self._manifest.load(record, self._coder.sample_rate)
        except AudioError as error:
            return error

    def _encode(self, loaded: "Sequence[Future[Tensor | AudioError]]") -> list[Outcome]:
        outcomes = [future.result() for future in loaded]
        good = [i for i, x in enumerate(outcomes) if isinstance(x, Tensor)]
        waves = [x for x in outcomes if isinstance(x, Tensor)]
        found: list[Outcome] = [x for x in outcomes]  # noqa: C416  (another type)
        for i, codes in zip(good, self._together(waves), strict=True):
            found[i] = codes
        return found

    def _together(self, waves: Sequence[Float[Tensor, "1 1 _"]]) -> Sequence[Outcome]:
        """Encode a batch; where that fails find out for which recording."""
        try:
            return self._coder.encode(waves, exact=self._exact) if waves else []
        except AudioError:
            return [self._one(x) for x in waves]

    def _one(self, x: Float[Tensor, "1 1 _"]) -> Outcome:
        try:
            return self._coder.encode([x], exact=self._exact)[0]
        except AudioError as error:
            return error

    def _stream(self, record: Record) -> list[Outcome]:
        """Encode a long recording, which is always exact: the same codes as from the whole."""
        try:
            with ahead(lambda: self._manifest.blocks(record, self._coder.sample_rate)) as blocks:
                return [torch.cat(list(self._coder.encode_blocks(blocks)), dim=-1)]
        except AudioError as error:
            return [error]


class ahead:  # noqa: N801  (used as a function)
    """Make an iterator run in a thread of its own, a few items ahead; a context manager.

    Args:
        make: gives the iterator; called in that thread.
        depth: items that may wait.
    """

    _END = object()

    def __init__(self, make: Callable[[], Iterable[Tensor]], depth: int = 4) -> None:
        self._make = make
        self._queue: queue.Queue[object] = queue.Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._fill, daemon=True)

    def __enter__(self) -> Iterator[Tensor]:
        self._thread.start()
        return self._drain()

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _drain(self) -> Iterator[Tensor]:
        while (item := self._queue.get()) is not self._END:
            if isinstance(item, BaseException):
                raise item
            assert isinstance(item, Tensor)
            yield item

    def _fill(self) -> None:
        try:
            for item in self._make():
                if not self._put(item):
                    return
            self._put(self._END)
        except BaseException as error:  # noqa: BLE001  (raised where the items are used)
            self._put(error)

    def _put(self, item: object) -> bool:
        """Wait for room; return whether anyone still wants items."""
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False
