"""From a coder and a manifest to a folder of codes; killed anywhere, it goes on from there.

The manifest alone decides which record goes into which shard. A shard is written whole, in one
step, and noted with its checksum; a shard that is there and whole is never decoded again. So the
bytes at the end are the same however often the work was interrupted, and with however many
threads, processes and machines: process r of n takes every n-th shard, none waits for another, and
whoever comes last gathers the notes into `units.json`.
"""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

import audiovq
from audiovq import distributed
from audiovq.alone import alone, among
from audiovq.autoencoder import Autoencoder
from audiovq.data.manifest import Manifest
from audiovq.errors import CheckpointError, ManifestError
from audiovq.files import STALE_MARK, remove_stale
from audiovq.units import store
from audiovq.units.coder import Coder, ModelCoder
from audiovq.units.metadata import VECTORS, Metadata, ShardFormat, read_metadata
from audiovq.units.reading import Units, load
from audiovq.units.rejected import Rejected
from audiovq.units.shards import plan
from audiovq.units.work import Work


def extract(
    coder: Coder | Autoencoder,
    manifest: Manifest,
    out: str | Path,
    *,
    splits: Sequence[str] | None = None,
    exact: bool = True,
    threads: int = 1,
    max_rejected: float = 0.01,
    shard_format: ShardFormat = "parquet",
    records_per_shard: int = 256,
    seconds_per_shard: float | None = 1200.0,
    unreadable: Mapping[str, str] | None = None,
    request: Mapping[str, str] | None = None,
    made_from: Mapping[str, str] | None = None,
    progress: bool = True,
) -> Units:
    """Write the codes of a corpus, or go on writing them.

    Under torchrun (or srun with its variables exported) the processes share the shards.

    Args:
        coder: a discrete model in eval mode, or any other `Coder`.
        manifest: the corpus.
        out: folder to make or to continue.
        splits: which splits; None for all records.
        exact: codes that do not depend on batching, chunking or threads.
        threads: batches encoded side by side, each with one thread of arithmetic.
        max_rejected: share of recordings that may turn out unusable, in [0, 1]; they are listed
            in `rejected.jsonl`, and tried again when the work is taken up unfinished.
        shard_format: `parquet` (needs pyarrow) or `jsonl`.
        records_per_shard: records of the manifest per file.
        seconds_per_shard: audio per file (s), but for a single longer recording; None: any.
        unreadable: id and reason of recordings that could not even enter the manifest.
        request: checksums by which `finished` recognises this extraction without torch.
        made_from: where coder and corpus are, for `audiovq verify`.
        progress: show a bar on stderr.

    Raises:
        ConfigError: the model is continuous, or pyarrow is missing.
        CheckpointError: the folder cannot be made, holds something else or units of another
            model, corpus or setting, or another process is at work in it.
        ManifestError: nothing to do, or too many recordings unusable.
        DistributedError: the other processes have left shards undone.
    """
    if isinstance(coder, Autoencoder):
        coder = ModelCoder(coder)
    records = [r for r in manifest.records if splits is None or r.split in splits]
    if not records:
        raise ManifestError(f"{manifest.path} has no records in {splits}")
    wanted = _describe(
        coder,
        manifest,
        splits=None if splits is None else tuple(splits),
        exact=exact,
        shard_format=shard_format,
        records_per_shard=records_per_shard,
        seconds_per_shard=seconds_per_shard,
        request=dict(request or {}),
        made_from=dict(made_from or {}),
    )
    store.check(wanted)
    out = Path(out)
    _make(out)
    work = Work(
        out,
        wanted,
        plan(records, shard_format, records_per_shard, seconds_per_shard),
        Rejected(out, records, unreadable or {}, max_rejected, of=len(manifest.records)),
    )
    place = distributed.place()
    if place is None:
        with alone(out, "extracting into"):
            remove_stale(out)  # also those of a run killed before it had written anything else
            work.take_up(coder)
            work.do(coder, manifest, 0, 1, exact=exact, threads=threads, progress=progress)
            work.gather()
    else:
        rank, size, _ = place
        tidy = distributed.one_machine()  # elsewhere a temporary may be another machine's
        with among(out, "extracting into", lambda: remove_stale(out) if tidy else None):
            work.take_up(coder)
            shown = progress and rank == 0
            work.do(coder, manifest, rank, size, exact=exact, threads=threads, progress=shown)
        work.gather_when_all_are_done()
    return load(out)


def _describe(coder: Coder, manifest: Manifest, **settings: Any) -> Metadata:
    """Return the metadata that this extraction starts with."""
    return Metadata(
        coder=coder.label,
        model_hash=coder.fingerprint(),
        sample_rate=coder.sample_rate,
        hop_length=coder.hop_length,
        codebook_sizes=coder.codebook_sizes,
        layout=coder.layout,
        manifest_hash=manifest.fingerprint(),
        device=coder.device,
        software=_software(),
        **settings,
    )


def _software() -> dict[str, str]:
    found = {
        "audiovq": audiovq.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    for name in ("soundfile", "soxr", "pyarrow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def check_folder(out: Path) -> None:
    """Refuse a folder that holds something else, before any work is done.

    Raises:
        CheckpointError: it does, or cannot be read.
    """
    try:
        others = [p for p in out.iterdir() if STALE_MARK not in p.name and p.name not in _EARLY]
    except FileNotFoundError:
        return
    except OSError as error:
        raise CheckpointError(f"cannot write to the folder {out}: {error.strerror}") from None
    if others and read_metadata(out) is None:
        raise CheckpointError(f"{out} is not empty and holds no units: choose another folder")


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"cannot write to the folder {out}: {error.strerror}") from None
    check_folder(out)


_EARLY = (VECTORS, "kmeans", "manifest.jsonl")  # written before `units.json`
