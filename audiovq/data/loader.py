"""Batches of training segments; the whole state of the loader is the number of the next step."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from audiovq import audio
from audiovq.config import Config
from audiovq.data.augment import NOISE, AugmentConfig, augment, level
from audiovq.data.corruption import Corruption, CorruptionConfig
from audiovq.data.manifest import Manifest, Record
from audiovq.data.references import References
from audiovq.data.segments import Segments
from audiovq.errors import AudioError, ConfigError, ManifestError
from audiovq.nn import random
from audiovq.nn.tree import register_output


class DataConfig(Config):
    """Settings of the training data."""

    manifest: str = Field("", description="path of the manifest (made by `audiovq prepare`)")
    batch_size: int = Field(16, ge=1, description="segments per step, over all devices")
    batch_seconds: float | None = Field(
        None, gt=0, description="in place of batch_size: speech per step, over all devices (s)"
    )
    segment_seconds: float = Field(1.0, gt=0, le=60, description="length of a segment (s)")
    references: bool = Field(
        False,
        description="load for each segment another one of its speaker, from which a reference "
        "encoder hears the voice",
    )
    workers: int = Field(1, ge=0, le=64, description="processes that load audio; changes no result")
    augment: AugmentConfig = Field(AugmentConfig(), description="changes to each waveform")
    corruption: CorruptionConfig = Field(
        CorruptionConfig(), description="what the encoder hears instead, for denoising"
    )

    @model_validator(mode="after")
    def _counts_seconds(self) -> "DataConfig":
        """Turn seconds into segments, so that everyone else need only know batch_size."""
        if self.batch_seconds is not None:
            size = int(self.batch_seconds / self.segment_seconds + 1e-9)
            if size < 1:
                raise ValueError(
                    f"batch_seconds={self.batch_seconds:g} holds no segment of "
                    f"{self.segment_seconds:g} s"
                )
            object.__setattr__(self, "batch_size", size)
        return self


@register_output
@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Training segments.

    Attributes:
        x: what is to be reconstructed; zero past each item's end.
        x_input: what the encoder hears; x itself unless `data.corruption` says otherwise.
        lengths: real samples per item.
        keys: one integer per item, from which all randomness about it derives.
        ids: record of each item.
        speakers: speaker of each item, None where unknown.
        step_lengths: real samples of all items of the step, of which these may be a part: losses
            are normalised by them.
        reference: another segment of each item's speaker, if `data.references` asks for it.
    """

    x: Float[Tensor, "B 1 L"]
    x_input: Float[Tensor, "B 1 L"]
    lengths: Int[Tensor, "B"]
    keys: Int[Tensor, "B"]
    ids: tuple[str, ...]
    speakers: tuple[str | None, ...]
    step_lengths: Int[Tensor, "S"]
    reference: Float[Tensor, "B 1 L"] | None = None

    def split(self, parts: int) -> "list[Batch]":
        """Return the items in so many parts, as equal as can be."""
        if parts == 1:
            return [self]
        bounds = [len(self.x) * i // parts for i in range(parts + 1)]
        return [
            Batch(
                x=self.x[a:b],
                x_input=self.x_input[a:b],
                lengths=self.lengths[a:b],
                keys=self.keys[a:b],
                ids=self.ids[a:b],
                speakers=self.speakers[a:b],
                step_lengths=self.step_lengths,
                reference=None if self.reference is None else self.reference[a:b],
            )
            for a, b in pairwise(bounds)
        ]

    def repeated(self, times: int) -> "Batch":
        """Return every segment that many times, each with random draws of its own."""
        if times == 1:
            return self
        return Batch(
            x=self.x.repeat_interleave(times, dim=0),
            x_input=self.x_input.repeat_interleave(times, dim=0),
            lengths=self.lengths.repeat_interleave(times),
            keys=random.bits(self.keys, "sample", times).flatten(),
            ids=tuple(i for i in self.ids for _ in range(times)),
            speakers=tuple(s for s in self.speakers for _ in range(times)),
            step_lengths=self.step_lengths.repeat_interleave(times),
            reference=None
            if self.reference is None
            else self.reference.repeat_interleave(times, dim=0),
        )


class Loader:
    """Endless batches of a corpus, each a pure function of (seed, step).

    Args:
        manifest: the corpus.
        records: the recordings to draw from.
        config: batch size, segment length, workers, augmentation.
        sample_rate: of the waveforms (Hz).
        seed: decides order, positions and augmentation.
    """

    def __init__(
        self,
        manifest: Manifest,
        records: Sequence[Record],
        config: DataConfig,
        sample_rate: int,
        seed: int,
    ) -> None:
        if not records:
            raise ManifestError(f"{manifest.path} has no records to train on")
        self.config = config
        self.items = _Items(manifest, records, config, sample_rate, seed)

    @property
    def steps_per_epoch(self) -> float:
        """Steps after which every part of the corpus was visited once."""
        return len(self.items.segments) / self.config.batch_size

    def batches(self, step: int, part: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        """Yield the batches from a step on, without end.

        Args:
            step: the first batch's, from 0.
            part: which of how many parts of every batch.

        Raises:
            AudioError: a file could be read when the corpus was prepared, and cannot now.
        """
        loader = DataLoader(
            _Part(self.items, *part),
            batch_sampler=_Numbers(step, self.config.batch_size),
            num_workers=self.config.workers,
            collate_fn=_as_it_is,
            prefetch_factor=4 if self.config.workers else None,
            worker_init_fn=_start_worker,
            generator=torch.Generator(),  # else each start draws from the global generator
        )
        with _signals_held():  # workers inherit it: none must be hit before it has set itself up
            batches = iter(loader)
        for batch in batches:
            if isinstance(batch, AudioError):
                raise batch
            yield batch


_ATTEMPTS = 4  # to find speech in a recording

_Item = tuple[Tensor, Tensor | None, int, int, str, str | None, Tensor | None]


class _Items:
    """Samples by running number; loading them is the only work the workers do."""

    def __init__(
        self,
        manifest: Manifest,
        records: Sequence[Record],
        config: DataConfig,
        sample_rate: int,
        seed: int,
    ) -> None:
        self.manifest, self.records = manifest, records
        self.augment, self.sample_rate = config.augment, sample_rate
        self.size = round(config.segment_seconds * sample_rate)
        if self.size < 1:
            raise ConfigError("data.segment_seconds is shorter than one sample")
        self.segments = Segments(records, config.segment_seconds, seed, config.augment.speeds)
        self.corrupt = _corruption(config.corruption, sample_rate)
        self.noise = _corruption(config.augment.noise, sample_rate)
        self.references = (
            References(manifest, records, self.size, sample_rate) if config.references else None
        )

    def length(self, number: int) -> int:
        """Return the real samples of a sample, without opening its file."""
        draw = self.segments.draw(number)
        rate = self.records[draw.record].sample_rate
        length = audio.resampled_length(draw.num_samples, rate, self.sample_rate)
        fast = self._rate_played(draw.speed)
        return min(self.size, audio.resampled_length(length, fast, self.sample_rate))

    def load(self, number: int) -> _Item | AudioError:
        """Return the sample; a fault as a value, which a worker's traceback would bury."""
        draw = self.segments.draw(number)
        record = self.records[draw.record]
        try:
            x = self._heard(number)
            if draw.speed != 1.0:
                x = audio.resample(x, self._rate_played(draw.speed), self.sample_rate)
            x = augment(x, self.augment, draw.key)[..., : self.size]
            x = x if self.noise is None else self.noise(x, draw.key ^ NOISE).clamp(-1.0, 1.0)
            heard = None if self.corrupt is None else self.corrupt(x, draw.key)
            reference = self.references.load(record, draw.key) if self.references else None
        except AudioError as error:
            return error
        length = x.shape[-1]
        padding = (0, self.size - length)
        heard = None if heard is None else F.pad(heard, padding)
        return F.pad(x, padding), heard, length, draw.key, record.id, record.speaker, reference

    def _heard(self, number: int) -> Float[Tensor, "1 1 L"]:
        """Return a sample as recorded; of several attempts the first that is loud enough."""
        found: list[tuple[float, Tensor]] = []
        floor = self.augment.skip_silence_db
        for attempt in range(1 if floor is None else _ATTEMPTS):
            draw = self.segments.draw(number, attempt)
            x = self.manifest.load(
                self.records[draw.record],
                self.sample_rate,
                start=draw.start,
                num_samples=draw.num_samples,
            )
            found.append((0.0 if floor is None else level(x), x))
            if floor is None or found[-1][0] >= floor:
                return x
        return max(found, key=lambda f: f[0])[1]

    def _rate_played(self, speed: float) -> int:
        return round(self.sample_rate * speed)


def _corruption(config: CorruptionConfig, sample_rate: int) -> Corruption | None:
    return Corruption(config, sample_rate) if config.active else None


class _Part(Dataset[Batch | AudioError]):
    """A part of each batch, whole batches at a time."""

    def __init__(self, items: _Items, index: int, parts: int) -> None:
        self.items, self.index, self.parts = items, index, parts

    def __getitems__(self, numbers: list[int]) -> Batch | AudioError:
        """Return this part of the batch that these numbers make."""
        a, b = (len(numbers) * i // self.parts for i in (self.index, self.index + 1))
        lengths = torch.tensor([self.items.length(n) for n in numbers])
        return _collate([self.items.load(n) for n in numbers[a:b]], lengths)


class _Numbers:
    """The running numbers of the samples of each batch, from a step on."""

    def __init__(self, step: int, batch_size: int) -> None:
        self.step, self.batch_size = step, batch_size

    def __iter__(self) -> Iterator[list[int]]:
        step = self.step
        while True:
            yield list(range(step * self.batch_size, (step + 1) * self.batch_size))
            step += 1


@contextmanager
def _signals_held() -> Iterator[None]:
    """Keep SIGINT and SIGTERM waiting, where the system can."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def _start_worker(_worker: int) -> None:
    torch.set_num_threads(1)  # of the worker process alone
    # Ctrl-C and SIGTERM often reach the whole process group. The training process finishes its
    # step and saves; its workers must live until it ends them, which it does with a SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS: there SIGTERM ends a worker as it always did
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey_parent, daemon=True).start()


def _obey_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def _as_it_is(batch: Any) -> Any:
    return batch


def _collate(items: list[_Item | AudioError], step_lengths: Int[Tensor, "S"]) -> Batch | AudioError:
    faults = [item for item in items if isinstance(item, AudioError)]
    if faults:
        return faults[0]
    good = [item for item in items if not isinstance(item, AudioError)]
    x, heard, lengths, keys, ids, speakers, references = zip(*good, strict=True)
    clean = torch.cat(x)
    return Batch(
        x=clean,
        x_input=clean if heard[0] is None else torch.cat(heard),
        lengths=torch.tensor(lengths),
        keys=torch.tensor(keys),
        ids=ids,
        speakers=speakers,
        step_lengths=step_lengths,
        reference=None if references[0] is None else torch.cat(references),
    )
