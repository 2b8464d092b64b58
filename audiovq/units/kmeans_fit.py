"""Fitting k-means to a corpus of any size in bounded memory; killed anywhere, it goes on.

One pass over the corpus keeps a uniform sample of its frames, then Lloyd's iterations cluster
that sample in memory. Features cost far more than clustering, so they are computed once, where
mini-batches over several passes would compute them anew each time. Nothing but torch is needed,
and all state between two steps is plain arrays; scikit-learn's MiniBatchKMeans can be continued
from its private attributes only.

Measured on 512 centres of an hour of LibriSpeech (181,000 frames), mean squared distance to the
nearest centre over all frames: MFCC 20.3 (MiniBatchKMeans 20.7 to 20.8), latents of an AE 91.9
(110 to 112). A sample of 200 frames per centre costs 0.7 and 2.3 %, one of 100, 2.1 and 6.0 %;
the default is at least 256, as many as faiss uses at most.
"""

import hashlib
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

import audiovq
from audiovq.alone import alone
from audiovq.data.manifest import Manifest, Record
from audiovq.errors import AudioError, CheckpointError, ConfigError, ManifestError
from audiovq.files import STALE_MARK, remove_stale
from audiovq.nn import random
from audiovq.units import _lloyd
from audiovq.units._notes import Notes
from audiovq.units._reservoir import Reservoir
from audiovq.units.features._base import Features, checked
from audiovq.units.kmeans import ABOUT, ARRAYS, About, KMeans, load, read_about

SAMPLE, CENTRES = "fit-sample.safetensors", "fit-centres.safetensors"  # gone once it is finished
_LEAST_FRAMES, _FRAMES_PER_CENTRE = 250_000, 256
_SEEDING_FRAMES = 50  # per centre; k-means++ looks at no more
_STILL = 1e-4  # relative gain of an iteration below which the centres stand still
_SAVE_SECONDS = 20.0  # between two notes of how far it is; changes no result

Rows = tuple[Int[Tensor, "M"], Float[Tensor, "M D"], int]  # hashes, frames kept, frames seen


def fit(
    features: Features,
    manifest: Manifest,
    size: int,
    *,
    folder: str | Path,
    split: str | None = "train",
    seed: int = 0,
    most_frames: int | None = None,
    most_iterations: int = 100,
    threads: int = 1,
    max_rejected: float = 0.01,
    progress: bool = True,
) -> KMeans:
    """Cluster the frames of a corpus, or go on doing so; finished work is only read.

    Memory: about four times `most_frames` vectors, whatever the corpus. On one machine and
    at one number of arithmetic threads the centres are the same bit for bit however often it was
    interrupted, and for any `threads`.

    Args:
        features: of which.
        manifest: the corpus.
        size: centres N.
        folder: to make, to continue, or to find the finished centres in.
        split: which records; None: all.
        seed: decides which frames are looked at and the first centres.
        most_frames: frames to cluster, drawn uniformly; None: 256 per centre, at least 250,000.
        most_iterations: of Lloyd's algorithm; it ends when one gains less than 0.01 %.
        threads: recordings worked on side by side, each with one thread of arithmetic.
        max_rejected: share of the recordings that may turn out unusable, in [0, 1].
        progress: show bars on stderr.

    Raises:
        ConfigError: size is not positive.
        ManifestError: no such records, fewer frames than centres, or too many of the recordings
            cannot be used (those that cannot are listed in `kmeans.json`).
        CheckpointError: the folder cannot be made, holds something else or another k-means, or
            another process is at work in it.
    """
    if size < 1:
        raise ConfigError(f"k-means of {size} centres asked for; 1 or more are accepted")
    records = manifest.select(split)
    if not records:
        held = sorted({str(r.split) for r in manifest.records})
        raise ManifestError(
            f"{manifest.path} has no records of the split {split!r} to fit k-means on; it has "
            f"{', '.join(held)}: give another manifest with --fit-manifest"
        )
    about = About(
        label=features.label,
        features=features.fingerprint(),
        sample_rate=features.sample_rate,
        hop_length=features.hop_length,
        dim=features.dim,
        size=size,
        seed=seed,
        manifest_hash=manifest.fingerprint(),
        split=split,
        most_frames=most_frames or max(_LEAST_FRAMES, _FRAMES_PER_CENTRE * size),
        most_iterations=most_iterations,
    )
    folder = Path(folder)
    _make(folder)
    with alone(folder, "fitting k-means in"):
        remove_stale(folder)
        if not _finished(folder, about):
            work = _Work(folder, about, progress, max_rejected)
            work.cluster(features, work.sample(features, manifest, records, threads))
        for name in (SAMPLE, CENTRES):
            (folder / name).unlink(missing_ok=True)
    return load(folder, features)


@dataclass(frozen=True)
class _Sample:
    """Frames drawn from the first `records` recordings."""

    hashes: Int[Tensor, "M"]
    rows: Float[Tensor, "M D"]
    records: int = 0
    frames: int = 0
    rejected: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Work:
    """One fit: where it keeps its notes, and what it must be."""

    folder: Path
    about: About
    progress: bool
    max_rejected: float = 0.01

    def sample(
        self, features: Features, manifest: Manifest, records: Sequence[Record], threads: int
    ) -> _Sample:
        """Return a uniform sample of the corpus's frames, from where the notes end."""
        at = self._read_sample()
        if at.records == len(records):
            return at
        kept = Reservoir(self.about.most_frames, features.dim)
        kept.add(at.hashes, at.rows)
        frames, rejected, last = at.frames, dict(at.rejected), time.monotonic()
        draw = partial(draw_frames, features, manifest, kept, seed=self.about.seed)
        bar = self._bar("sampling frames", "utterance", len(records), at.records)
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
                    at = _Sample(*kept.settle(), done, frames, tuple(rejected.items()))
                    _refuse_too_many(rejected, len(records), manifest, self.max_rejected)
                    self._write_sample(at)
                    last = time.monotonic()
        return at

    def cluster(self, features: Features, sample: _Sample) -> None:
        """Cluster the sample, from where the notes end, and write the result."""
        about = self.about
        if len(sample.rows) < about.size:
            raise ManifestError(
                f"the corpus has {sample.frames} frames ({len(sample.rows)} to cluster), fewer "
                f"than the {about.size} centres asked for: give more speech with --fit-manifest, "
                f"or fewer centres with --kmeans"
            )
        mean, scale = _moments(sample.rows, standardise=features.standardise)
        rows = (sample.rows - mean) / scale
        centres, number, inertia = self._read_centres()
        if centres is None:  # rows are in the order of their hashes: the first are a fair sample
            centres = _lloyd.seed_centres(
                rows[: _SEEDING_FRAMES * about.size], about.size, about.seed
            )
        with self._bar("k-means", "iteration", about.most_iterations, number) as bar:
            while True:
                step = _lloyd.iterate(rows, centres)
                gain = inertia - step.inertia
                settled = gain <= _STILL * inertia and int(step.counts.min()) > 0
                if number == about.most_iterations or (number and settled):
                    break
                centres, inertia, number = step.centres, step.inertia, number + 1
                self._write_centres(centres, number, inertia)
                bar.set_postfix(inertia=f"{inertia:.4g}", refresh=False)
                bar.update()
        found = {
            "frames": sample.frames,
            "clustered": len(rows),
            "iterations": number,
            "inertia": step.inertia,
            "empty": int((step.counts == 0).sum()),
            "rejected": dict(sample.rejected),
            "software": {
                "audiovq": audiovq.__version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        }
        KMeans(centres, mean, scale, about.model_copy(update=found)).save(self.folder)

    @property
    def _notes(self) -> Notes:
        return Notes(self.folder, self.about.model_dump_json())

    def _bar(self, what: str, unit: str, total: int, done: int) -> "tqdm[Any]":
        return tqdm(total=total, initial=done, desc=what, unit=unit, disable=not self.progress)

    def _read_sample(self) -> _Sample:
        arrays, notes = self._notes.read(SAMPLE)
        if not arrays:
            return _Sample(torch.empty(0, dtype=torch.int64), torch.empty(0, self.about.dim))
        return _Sample(
            arrays["hashes"],
            arrays["rows"],
            notes["records"],
            notes["frames"],
            tuple(notes["rejected"].items()),
        )

    def _write_sample(self, at: _Sample) -> None:
        notes = {"records": at.records, "frames": at.frames, "rejected": dict(at.rejected)}
        self._notes.write(SAMPLE, {"hashes": at.hashes, "rows": at.rows}, notes)

    def _read_centres(self) -> tuple[Tensor | None, int, float]:
        arrays, notes = self._notes.read(CENTRES)
        return (arrays["centres"], notes["number"], notes["inertia"]) if arrays else (None, 0, 0.0)

    def _write_centres(self, centres: Tensor, number: int, inertia: float) -> None:
        self._notes.write(CENTRES, {"centres": centres}, {"number": number, "inertia": inertia})


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


def _moments(
    rows: Float[Tensor, "R D"], *, standardise: bool
) -> tuple[Float[Tensor, "D"], Float[Tensor, "D"]]:
    """Return mean and scale of every dimension; the scale of a constant one is 1."""
    mean = rows.mean(dim=0, dtype=torch.float64)
    if not standardise:
        return mean.float(), torch.ones(rows.shape[1])
    squares = torch.zeros_like(mean)
    for i in range(0, len(rows), 1 << 15):
        squares += (rows[i : i + (1 << 15)].double() - mean).square().sum(dim=0)
    scale = (squares / len(rows)).sqrt()
    return mean.float(), torch.where(scale > 1e-6 * scale.max(), scale, 1.0).float()


def _refuse_too_many(rejected: dict[str, str], total: int, manifest: Manifest, most: float) -> None:
    if len(rejected) > most * total:
        record, reason = next(iter(rejected.items()))
        raise ManifestError(
            f"{len(rejected)} of {total} recordings of {manifest.path} cannot be used to fit "
            f"k-means, the first {record!r}: {reason}; mend them, or allow more with "
            f"--max-rejected {-(-len(rejected) * 100 // total) / 100:.2f}"
        )


def _make(folder: Path) -> None:
    """Make the folder, unless it is there and is, or may become, one of k-means."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = {p.name for p in folder.iterdir() if STALE_MARK not in p.name}
    except OSError as error:
        raise CheckpointError(f"cannot write to the folder {folder}: {error.strerror}") from None
    if others - {SAMPLE, CENTRES, ARRAYS, ABOUT}:
        raise CheckpointError(f"{folder} holds something else than k-means: choose another folder")


def _finished(folder: Path, wanted: About) -> bool:
    """Return whether the folder holds this very k-means, refusing another."""
    found = read_about(folder)
    if found is None:
        return False
    fixed = set(About.model_fields) - {
        *("frames", "clustered", "iterations", "inertia", "empty", "rejected", "software"),
        *("sha256", "label"),
    }
    changed = sorted(n for n in fixed if getattr(found, n) != getattr(wanted, n))
    if changed:
        raise CheckpointError(
            f"{folder} holds another k-means ({', '.join(changed)} differ): choose another "
            f"folder, or use that one with --kmeans-from {folder}"
        )
    return True
