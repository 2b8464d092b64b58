"""From a model and a manifest to a folder of codes; killed anywhere, it goes on from there.

The manifest alone decides which record goes into which shard. A shard is written whole, in one
step, and its checksum noted; a shard that is there and whole is never decoded again. So the bytes
at the end are the same however often the work was interrupted and with however many threads.
"""

import platform
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor
from tqdm import tqdm

import audiovq
from audiovq.autoencoder import Autoencoder
from audiovq.data.manifest import Manifest, Record
from audiovq.errors import AudioError, CheckpointError, ConfigError, ManifestError
from audiovq.files import STALE_MARK, atomic_write, remove_stale, sha256
from audiovq.units.alone import alone
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

_STREAM_SECONDS = 60.0  # longer recordings are encoded in blocks, never held whole


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
            in `rejected.jsonl`.
        records_per_shard: records of the manifest per file.
        progress: show a bar on stderr.

    Raises:
        ConfigError: the model is continuous.
        CheckpointError: the folder holds something else, units of another model, corpus or
            setting, or another process is at work in it.
        ManifestError: nothing to do, or too many recordings unusable.
    """
    if not model.is_discrete:
        raise ConfigError(
            "the model is continuous and has no codes to extract; train a discrete one"
        )
    records = [r for r in manifest.records if splits is None or r.split in splits]
    if not records:
        raise ManifestError(f"{manifest.path} has no records in {splits}")
    out = Path(out)
    wanted = _describe(model, manifest, splits, exact=exact, per_shard=records_per_shard)
    _make(out)
    with alone(out):
        remove_stale(out)
        metadata = _take_up(out, wanted)
        done = {s.file: s for s in metadata.shards if _whole(out, s)}
        if metadata.complete and len(done) == len(metadata.shards):
            return load(out)
        plan = _plan(records, records_per_shard)
        settled = {r.id for name in done for r in plan[name]}
        rejected = Rejected(out, records, settled)
        with (
            tqdm(
                total=len(records),
                initial=len(settled),
                desc="extracting",
                unit="utterance",
                disable=not progress,
            ) as bar,
            ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool,
        ):
            encode = partial(encode_record, model, manifest, exact=exact)
            for name, part in plan.items():
                if name in done:
                    continue
                lines, bad = _encode_part(encode, part, pool, bar.update)
                rejected.add(bad)
                rejected.limit(max_rejected)
                atomic_write(out / name, "".join(f"{line}\n" for line in lines))
                done[name] = Shard(file=name, records=len(lines), sha256=sha256(out / name))
                metadata = metadata.model_copy(update={"shards": _sorted(done)})
                write_metadata(out, metadata)
        rejected.limit(max_rejected)
        write_metadata(out, metadata.model_copy(update={"shards": _sorted(done), "complete": True}))
    return load(out)


def encode_record(
    model: Autoencoder, manifest: Manifest, record: Record, *, exact: bool
) -> tuple[Int[Tensor, "K T"], int]:
    """Return a recording's codes and its length at the model's rate; long ones are streamed.

    Exact codes are the same by either path.
    """
    length = record.samples_at(model.sample_rate)
    if exact and length > _STREAM_SECONDS * model.sample_rate:
        blocks = manifest.blocks(record, model.sample_rate)
        return torch.cat(list(model.encode_blocks(blocks)), dim=-1)[0], length
    x = manifest.load(record, model.sample_rate)
    return model.encode(x.to(next(model.parameters()).device), exact=exact)[0].cpu(), length


def _encode_part(
    model: Autoencoder,
    manifest: Manifest,
    part: Sequence[Record],
    pool: ThreadPoolExecutor,
    *,
    exact: bool,
) -> tuple[list[str], dict[str, str]]:
    """Return a shard's lines, and the reason for every recording that could not be used."""

    def one(record: Record) -> str | AudioError:
        try:
            codes, length = encode_record(model, manifest, record, exact=exact)
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
    return lines, bad


def _open(
    model: Autoencoder,
    manifest: Manifest,
    out: Path,
    splits: Sequence[str] | None,
    *,
    exact: bool,
    per_shard: int,
) -> Metadata:
    """Return the metadata of this extraction: what is there, if it is of the same one."""
    wanted = Metadata(
        model_hash=model.fingerprint(),
        sample_rate=model.sample_rate,
        hop_length=model.hop_length,
        codebook_sizes=model.codebook_sizes,
        layout=model.layout,
        manifest_hash=manifest.fingerprint(),
        splits=None if splits is None else tuple(splits),
        exact=exact,
        records_per_shard=per_shard,
        software={
            "audiovq": audiovq.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    )
    if out.is_dir():
        remove_stale(out)  # also those of a run killed before it had written anything else
    found = read_metadata(out)
    if found is not None:
        free = {"software", "complete", "shards"}
        old, new = found.model_dump(exclude=free), wanted.model_dump(exclude=free)
        changed = [k for k in new if old[k] != new[k]]
        if changed:
            raise CheckpointError(
                f"{out} holds units of another extraction ({', '.join(changed)} differ): choose "
                f"another folder"
            )
        return found
    if out.exists() and any(out.iterdir()):
        raise CheckpointError(f"{out} is not empty and holds no units: choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    write_metadata(out, wanted)
    return wanted


def _whole(out: Path, shard: Shard) -> bool:
    return (out / shard.file).is_file() and sha256(out / shard.file) == shard.sha256


def _sorted(done: dict[str, Shard]) -> tuple[Shard, ...]:
    return tuple(done[name] for name in sorted(done))


def _limit(out: Path, rejected: dict[str, str], total: int, most: float) -> None:
    if len(rejected) > most * total:
        raise ManifestError(
            f"{len(rejected)} of {total} recordings cannot be used (listed in {out / REJECTED}); "
            f"mend them, or allow more with --max-rejected {len(rejected) / total:.2f}"
        )


def _read_rejected(out: Path) -> dict[str, str]:
    path = out / REJECTED
    lines: Iterator[dict[str, str]] = (
        map(json.loads, path.read_text("utf-8").splitlines()) if path.is_file() else iter(())
    )
    return {entry["id"]: entry["reason"] for entry in lines}


def _write_rejected(out: Path, rejected: dict[str, str]) -> None:
    if rejected:
        lines = (
            json.dumps({"id": k, "reason": v}, ensure_ascii=False) for k, v in rejected.items()
        )
        atomic_write(out / REJECTED, "".join(f"{line}\n" for line in lines))
