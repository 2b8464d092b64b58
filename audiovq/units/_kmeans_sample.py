"""A uniform sample of a corpus's frames, drawn in one pass; killed anywhere, it goes on."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from audiovq.data.manifest import Manifest, Record
from audiovq.errors import AudioError, ManifestError
from audiovq.nn import random
from audiovq.units._notes import Notes
from audiovq.units._reservoir import Reservoir
from audiovq.units.features._base import Features, checked
from audiovq.units.kmeans import About

SAMPLE = "fit-sample.safetensors"  # gone once the fit is finished
_SAVE_SECONDS = 20.0  # between two notes of how far it is; changes no result

Rows = tuple[Int[Tensor, "M"], Float[Tensor, "M D"], int]  # hashes, frames kept, frames seen


@dataclass(frozen=True)
class Sample:
    """Frames drawn from the first `records` recordings."""

    hashes: Int[Tensor, "M"]
    rows: Float[Tensor, "M D"]
    records: int = 0
    frames: int = 0
    rejected: tuple[tuple[str, str], ...] = ()


def draw_sample(
    features: Features,
    manifest: Manifest,
    records: Sequence[Record],
    about: About,
    notes: Notes,
    *,
    threads: int,
    max_rejected: float,
    progress: bool,
) -> Sample:
    """Return a uniform sample of the records' frames, from where the notes end.

    Raises:
        ManifestError: too many of the recordings cannot be used.
        CheckpointError: the notes are damaged, or of other work.
    """
    at = _read(notes, about.dim)
    if at.records == len(records):
        return at
    kept = Reservoir(about.most_frames, features.dim)
    kept.add(at.hashes, at.rows)
    frames, rejected, last = at.frames, dict(at.rejected), time.monotonic()
    draw = partial(draw_frames, features, manifest, kept, seed=about.seed)
    bar = tqdm(
        total=len(records), initial=at.records, desc="sampling frames", unit="utterance",
        disable=not progress,
    )  # fmt: skip
    with bar, _workers(threads) as pool:
        # a few at a time, so that what waits in line stays bounded
        for start in range(at.records, len(records), 4 * threads):
            part = records[start : start + 4 * threads]
            for record, found in zip(part, pool.map(_or_error(draw), part), strict=True):
                if isinstance(found, AudioError):
                    rejected[record.id] = str(found)
                else:
                    kept.add(found[0], found[1])
                    frames += found[2]
                bar.update()
            done = start + len(part)
            if done == len(records) or time.monotonic() - last >= _SAVE_SECONDS:
                at = Sample(*kept.settle(), done, frames, tuple(rejected.items()))
                _refuse_too_many(rejected, len(records), manifest, max_rejected)
                _write(notes, at)
                last = time.monotonic()
    return at


def _read(notes: Notes, dim: int) -> Sample:
    arrays, values = notes.read(SAMPLE)
    if not arrays:
        return Sample(torch.empty(0, dtype=torch.int64), torch.empty(0, dim))
    return Sample(
        arrays["hashes"],
        arrays["rows"],
        values["records"],
        values["frames"],
        tuple(values["rejected"].items()),
    )


def _write(notes: Notes, at: Sample) -> None:
    values = {"records": at.records, "frames": at.frames, "rejected": dict(at.rejected)}
    notes.write(SAMPLE, {"hashes": at.hashes, "rows": at.rows}, values)


def draw_frames(
    features: Features, manifest: Manifest, kept: Reservoir, record: Record, *, seed: int
) -> Rows:
    """Return a recording's frames that may belong to the sample, and how many it has in all.

    A frame's hash is drawn by seed, recording, and its place there; long recordings stream.
    """
    mine = Reservoir(kept.capacity, features.dim, kept.below)
    frames = 0
    blocks = manifest.blocks(record, features.sample_rate)
    with torch.no_grad():
        for number, piece in enumerate(features.blocks(blocks)):
            name = hashlib.sha256(f"{seed} {number} {record.id}".encode()).digest()
            key = torch.tensor([int.from_bytes(name[:8], "little", signed=True)])
            piece = checked(piece, features.label).float().cpu()  # noqa: PLW2901
            mine.add(random.bits(key, "k-means frames", len(piece))[0], piece)
            frames += len(piece)
    return *mine.settle(), frames


def _or_error(function: Callable[[Record], Rows]) -> Callable[[Record], Rows | AudioError]:
    def call(record: Record) -> Rows | AudioError:
        try:
            return function(record)
        except AudioError as error:
            return error

    return call


@contextmanager
def _workers(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that compute with one thread of arithmetic each; forgotten on Ctrl-C."""
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _refuse_too_many(rejected: dict[str, str], total: int, manifest: Manifest, most: float) -> None:
    if len(rejected) > most * total:
        record, reason = next(iter(rejected.items()))
        raise ManifestError(
            f"{len(rejected)} of {total} recordings of {manifest.path} cannot be used to fit "
            f"k-means, the first {record!r}: {reason}; mend them, or allow more with "
            f"--max-rejected {-(-len(rejected) * 100 // total) / 100:.2f}"
        )
