"""From a model and a manifest to a folder of codes; killed anywhere, it goes on from there.

The manifest alone decides which record goes into which shard. A shard is written whole, in one
step, and its checksum noted; a shard that is there and whole is never decoded again. So the bytes
at the end are the same however often the work was interrupted and with however many threads.
"""

import platform
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

import audiovq
from audiovq.alone import alone
from audiovq.autoencoder import Autoencoder
from audiovq.data.manifest import Manifest, Record
from audiovq.errors import AudioError, CheckpointError, ConfigError, ManifestError
from audiovq.files import STALE_MARK, atomic_write, remove_stale, sha256
from audiovq.units.format import (
    Metadata,
    Shard,
    UnitRecord,
    Units,
    load,
    read_metadata,
    write_metadata,
)
from audiovq.units.rejected import Rejected
from audiovq.units.shards import Plan, plan

_STREAM_SECONDS = 60.0  # longer recordings are encoded in blocks, never held whole

Encode = Callable[[Record], tuple[Int[Tensor, "K T"], int]]


def extract(
    model: Autoencoder,
    manifest: Manifest,
    out: str | Path,
    *,
    splits: Sequence[str] | None = None,
    exact: bool = True,
    threads: int = 1,
    max_rejected: float = 0.01,
    records_per_shard: int = 256,
    seconds_per_shard: float | None = 1200.0,
    progress: bool = True,
) -> Units:
    """Write the codes of a corpus, or go on writing them.

    Args:
        model: a discrete model in eval mode.
        manifest: the corpus.
        out: folder to make or to continue.
        splits: which splits; None for all records.
        exact: codes that do not depend on batching, chunking or threads.
        threads: utterances encoded side by side, each with one thread of arithmetic.
        max_rejected: share of recordings that may turn out unusable, in [0, 1]; they are listed
            in `rejected.jsonl`, and tried again when the work is taken up unfinished.
        records_per_shard: records of the manifest per file.
        seconds_per_shard: audio per file (s), but for a single longer recording; None: any.
        progress: show a bar on stderr.

    Raises:
        ConfigError: the model is continuous.
        CheckpointError: the folder cannot be made, holds something else or units of another
            model, corpus or setting, or another process is at work in it.
        ManifestError: nothing to do, or too many recordings unusable.
    """
    if not model.is_discrete:
        raise ConfigError(
            "the model is continuous and has no codes to extract; train a discrete one"
        )
    records = [r for r in manifest.records if splits is None or r.split in splits]
    if not records:
        raise ManifestError(f"{manifest.path} has no records in {splits}")
    wanted = _describe(
        model,
        manifest,
        splits=None if splits is None else tuple(splits),
        exact=exact,
        records_per_shard=records_per_shard,
        seconds_per_shard=seconds_per_shard,
    )
    parts = plan(records, records_per_shard, seconds_per_shard)
    out = Path(out)
    _make(out)
    with alone(out, "extracting into"):
        remove_stale(out)  # also those of a run killed before it had written anything else
        metadata = _take_up(out, wanted)
        done = {s.file: s for s in metadata.shards if s.file in parts and _whole(out, s)}
        if not (metadata.complete and done.keys() == parts.keys()):
            _work(
                partial(encode_record, model, manifest, exact=exact),
                out,
                metadata,
                parts,
                done,
                max_rejected=max_rejected,
                threads=threads,
                progress=progress,
            )
    return load(out)


def encode_record(
    model: Autoencoder, manifest: Manifest, record: Record, *, exact: bool
) -> tuple[Int[Tensor, "K T"], int]:
    """Return a recording's codes and its length at the model's rate.

    Long recordings are streamed, which is always exact: the same codes as from the whole.
    """
    length = record.samples_at(model.sample_rate)
    device = next(model.parameters()).device

    def there(x: Float[Tensor, "1 1 _"]) -> Float[Tensor, "1 1 _"]:
        return x.to(device)

    if length > _STREAM_SECONDS * model.sample_rate:
        blocks = map(there, manifest.blocks(record, model.sample_rate))
        return torch.cat([c.cpu() for c in model.encode_blocks(blocks)], dim=-1)[0], length
    x = there(manifest.load(record, model.sample_rate))
    return model.encode(x, exact=exact)[0].cpu(), length


def _work(
    encode: Encode,
    out: Path,
    metadata: Metadata,
    parts: Plan,
    done: dict[str, Shard],
    *,
    max_rejected: float,
    threads: int,
    progress: bool,
) -> None:
    """Make every shard that is not done, noting each in `units.json` as soon as it is there."""
    records = [r for part in parts.values() for r in part]
    settled = {r.id for name in done for r in parts[name]}
    rejected = Rejected(out, records, settled)
    bar: tqdm[Any] = tqdm(
        total=len(records),
        initial=len(settled),
        desc="extracting",
        unit="utterance",
        disable=not progress,
    )
    # every worker thread computes with one thread of its own, so that codes do not depend on it
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    with bar, pool, _dropping(pool):
        for name in [n for n in parts if n not in done]:
            lines, bad = _encode_part(encode, parts[name], pool, bar)
            rejected.add(bad)
            rejected.limit(max_rejected)
            atomic_write(out / name, "".join(f"{line}\n" for line in lines))
            done[name] = Shard(file=name, records=len(lines), sha256=sha256(out / name))
            # finished shards that were damaged are made again: complete only once all are there
            update = {"shards": _sorted(done), "complete": False}
            write_metadata(out, metadata.model_copy(update=update))
    rejected.limit(max_rejected)
    update = {"shards": _sorted(done), "complete": True}
    write_metadata(out, metadata.model_copy(update=update))


@contextmanager
def _dropping(pool: ThreadPoolExecutor) -> Iterator[None]:
    """On Ctrl-C or an error forget what is queued, which the pool would otherwise finish first."""
    try:
        yield
    except BaseException:
        pool.shutdown(wait=True, cancel_futures=True)
        raise


def _encode_part(
    encode: Encode, part: Sequence[Record], pool: ThreadPoolExecutor, bar: "tqdm[Any]"
) -> tuple[list[str], dict[str, str]]:
    """Return a shard's lines, and the reason for every recording that could not be used."""

    def one(record: Record) -> str | AudioError:
        try:
            codes, length = encode(record)
        except AudioError as error:
            return error
        return UnitRecord(
            id=record.id,
            codes=codes,
            num_samples=length,
            speaker=record.speaker,
            split=record.split,
            text=record.text,
        ).to_json()

    lines: list[str] = []
    bad: dict[str, str] = {}
    for record, result in zip(part, pool.map(one, part), strict=True):
        if isinstance(result, AudioError):
            bad[record.id] = str(result)
        else:
            lines.append(result)
        bar.update()
    return lines, bad


def _describe(model: Autoencoder, manifest: Manifest, **settings: Any) -> Metadata:
    """Return the metadata that this extraction starts with."""
    return Metadata(
        model_hash=model.fingerprint(),
        sample_rate=model.sample_rate,
        hop_length=model.hop_length,
        codebook_sizes=model.codebook_sizes,
        layout=model.layout,
        manifest_hash=manifest.fingerprint(),
        software={
            "audiovq": audiovq.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        **settings,
    )


def _make(out: Path) -> None:
    """Make the folder, unless it is there already and is, or may become, one of units."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        others = [p for p in out.iterdir() if STALE_MARK not in p.name]
    except OSError as error:
        raise CheckpointError(f"cannot write to the folder {out}: {error.strerror}") from None
    if others and read_metadata(out) is None:
        raise CheckpointError(f"{out} is not empty and holds no units: choose another folder")


def _take_up(out: Path, wanted: Metadata) -> Metadata:
    """Return the metadata of what is in the folder, which must be of the same extraction."""
    found = read_metadata(out)
    if found is None:
        write_metadata(out, wanted)
        return wanted
    free = {"software", "complete", "shards"}
    old, new = found.model_dump(exclude=free), wanted.model_dump(exclude=free)
    changed = [k for k in new if old[k] != new[k]]
    if changed:
        raise CheckpointError(
            f"{out} holds units of another extraction ({', '.join(changed)} differ): choose "
            f"another folder"
        )
    return found


def _whole(out: Path, shard: Shard) -> bool:
    return (out / shard.file).is_file() and sha256(out / shard.file) == shard.sha256


def _sorted(done: dict[str, Shard]) -> tuple[Shard, ...]:
    return tuple(done[name] for name in sorted(done))
