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

import platform
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

import audiovq
from audiovq.alone import alone
from audiovq.data.manifest import Manifest
from audiovq.errors import CheckpointError, ConfigError, ManifestError
from audiovq.files import STALE_MARK, remove_stale
from audiovq.units import _lloyd
from audiovq.units._kmeans_sample import SAMPLE, Sample, draw_sample
from audiovq.units._notes import Notes
from audiovq.units.features._base import Features
from audiovq.units.kmeans import ABOUT, ARRAYS, About, KMeans, load, read_about

CENTRES = "fit-centres.safetensors"  # gone once it is finished, as is the sample
_LEAST_FRAMES, _FRAMES_PER_CENTRE = 250_000, 256
_SEEDING_FRAMES = 50  # per centre; k-means++ looks at no more
_STILL = 1e-4  # relative gain of an iteration below which the centres stand still


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
            notes = Notes(folder, about.model_dump_json())
            sample = draw_sample(
                features, manifest, records, about, notes,
                threads=threads, max_rejected=max_rejected, progress=progress,
            )  # fmt: skip
            standardise = features.standardise
            _cluster(folder, about, notes, sample, standardise=standardise, progress=progress)
        for name in (SAMPLE, CENTRES):
            (folder / name).unlink(missing_ok=True)
    return load(folder, features)


def _cluster(
    folder: Path, about: About, notes: Notes, sample: Sample, *, standardise: bool, progress: bool
) -> None:
    """Cluster the sample, from where the notes end, and write the result."""
    if len(sample.rows) < about.size:
        raise ManifestError(
            f"the corpus has {sample.frames} frames ({len(sample.rows)} to cluster), fewer "
            f"than the {about.size} centres asked for: give more speech with --fit-manifest, "
            f"or fewer centres with --kmeans"
        )
    mean, scale = _moments(sample.rows, standardise=standardise)
    rows = (sample.rows - mean) / scale
    centres, number, inertia = _read_centres(notes)
    if centres is None:  # rows are in the order of their hashes: the first are a fair sample
        centres = _lloyd.seed_centres(rows[: _SEEDING_FRAMES * about.size], about.size, about.seed)
    total = about.most_iterations
    with tqdm(
        total=total, initial=number, desc="k-means", unit="iteration", disable=not progress
    ) as bar:
        while True:
            step = _lloyd.iterate(rows, centres)
            gain = inertia - step.inertia
            settled = gain <= _STILL * inertia and int(step.counts.min()) > 0
            if number == total or (number and settled):
                break
            centres, inertia, number = step.centres, step.inertia, number + 1
            notes.write(CENTRES, {"centres": centres}, {"number": number, "inertia": inertia})
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
    KMeans(centres, mean, scale, about.model_copy(update=found)).save(folder)


def _read_centres(notes: Notes) -> tuple[Tensor | None, int, float]:
    arrays, values = notes.read(CENTRES)
    return (arrays["centres"], values["number"], values["inertia"]) if arrays else (None, 0, 0.0)


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
