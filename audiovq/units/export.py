"""The units of a corpus in another format, and back.

`export` makes a folder: the format's files, one or more per split (`all` for utterances without
one), `bpe.model` where asked for, and `export.json`, which says what the tokens are. `read` gives
the rows back.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tarfile import TarError
from typing import Any
from zipfile import BadZipFile

from tqdm import tqdm

from audiovq.alone import alone
from audiovq.data.manifest import SPLITS, Manifest, Record
from audiovq.errors import CheckpointError, ConfigError, ManifestError
from audiovq.files import STALE_MARK, atomic_write, remove_stale
from audiovq.units import bpe as unit_bpe
from audiovq.units import formats
from audiovq.units.bpe import BPETokenizer, UnitBPE
from audiovq.units.formats._base import BPE_NAME, NAME, About, Add, Format, Row, read_about
from audiovq.units.reading import Units
from audiovq.units.record import UnitRecord
from audiovq.units.tokens import TokenConfig, Tokenizer

__all__ = ["About", "Row", "export", "read", "read_about"]

Encoder = Tokenizer | BPETokenizer


def export(
    units: Units,
    folder: str | Path,
    name: str,
    *,
    tokens: TokenConfig | None = None,
    bpe: UnitBPE | int | None = None,
    split: str | None = None,
    manifest: Manifest | None = None,
    times: bool = False,
    force: bool = False,
    progress: bool = False,
) -> About:
    """Write the units of a corpus in another format, each file in one step.

    Args:
        units: the corpus.
        folder: to make.
        name: one of `formats.names()`.
        tokens: how codes become tokens; None: the codes as they are.
        bpe: merges to apply, or how large a vocabulary of them to learn from the split `train`.
        split: which utterances; None: all.
        manifest: of the corpus, for formats that name audio files.
        times: also say when each token starts and ends.
        force: replace a finished export there; an unfinished one is replaced anyway.
        progress: show a bar on stderr.

    Raises:
        ConfigError: the format cannot hold what was asked for, or an id; or there is no such row
            of codes, split or package.
        CheckpointError: the folder holds something else.
        ManifestError: the manifest is not that of the units.
    """
    form, config = formats.get(name), tokens or TokenConfig()
    if form.DEDUPLICATED:
        config = config.model_copy(update={"deduplicate": True})
    tokenizer = Tokenizer.of(units, config)
    _check(name, form, tokenizer.streams if bpe is None else 1, times=times, paths=bool(manifest))
    folder = Path(folder)
    _make(folder)
    with alone(folder, "exporting into"):
        earlier = _earlier(folder, force=force)
        if isinstance(bpe, int):
            bpe = unit_bpe.train(units, tokenizer, bpe)
        encoder = tokenizer if bpe is None else BPETokenizer(tokenizer, bpe)
        about = _describe(units, name, encoder, times=times, manifest=manifest)
        _clear(folder, earlier)
        _note(folder, about)  # so that what a kill leaves is known for an export
        rows = _rows(units, split, encoder, about, manifest)
        total = len(units) if split is None else None
        counts = _fill(form, folder, about, rows, total=total, progress=progress)
        if bpe is not None:
            bpe.save(folder / BPE_NAME)
        about = about.model_copy(update={"splits": counts, "complete": True})
        _note(folder, about)
    return about


def read(
    folder: str | Path, split: str | None = None, manifest: Manifest | None = None
) -> Iterator[Row]:
    """Yield the rows of an exported folder, split by split.

    Args:
        folder: what `export` made.
        split: which of its splits; None: all.
        manifest: what turns the paths of fairseq's files into ids again.

    Raises:
        CheckpointError: the folder is unfinished or damaged.
        ConfigError: it has no such split.
    """
    folder, about = Path(folder), read_about(folder)
    if not about.complete:
        raise CheckpointError(f"{folder} is unfinished: export again")
    form = formats.get(about.file_format)
    if split is not None and split not in about.splits:
        raise ConfigError(f"{folder} has no split {split!r}; there is: {', '.join(about.splits)}")
    records = {r.path: r for r in manifest.records} if manifest else {}
    for name, count in about.splits.items():
        if split in {None, name}:
            found = 0
            for row in _whole(form.reader(folder, name, about), folder, name):
                found += 1
                yield _named(row, records, about)
            if found != count:
                raise CheckpointError(f"{folder}: {found} utterances in {name}, not {count}")


def _whole(rows: Iterator[Row], folder: Path, split: str) -> Iterator[Row]:
    """Yield rows; what a reader meets in a damaged file becomes one line."""
    try:
        yield from rows
    except (ValueError, KeyError, EOFError, OSError, TarError, BadZipFile) as error:
        why = " ".join(str(error).split())
        raise CheckpointError(f"{folder}: the files of {split!r} are damaged: {why}") from None


def _named(row: Row, records: dict[str, Record], about: About) -> Row:
    """Return a row under its id, where the format names the file instead."""
    if row.path is None or row.path not in records:
        return row
    record = records[row.path]
    return replace(row, id=record.id, num_samples=record.samples_at(about.sample_rate))


def _check(name: str, form: Format, streams: int, *, times: bool, paths: bool) -> None:
    """Refuse what the format cannot hold, before anything is done."""
    if paths and not form.PATHS:
        raise ConfigError(f"{name} names no audio files and takes no manifest: leave it out")
    if form.LINES and times:
        raise ConfigError(
            f"{name} holds no times, only durations in frames with --deduplicate; for times choose "
            f"npz, jsonl, webdataset or parquet"
        )
    if form.LINES and streams > 1:
        raise ConfigError(
            f"{name} holds one sequence per utterance and there are {streams} codebooks: choose "
            f"one (--codebooks 0), --pattern flatten, or another format"
        )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        list(folder.iterdir())
    except OSError as error:
        raise CheckpointError(f"cannot write to the folder {folder}: {error.strerror}") from None


def _earlier(folder: Path, *, force: bool) -> About | None:
    """Return what an earlier export says of itself; an unfinished one may be replaced.

    Raises:
        CheckpointError: there are files which are not to be replaced.
    """
    others = {p.name for p in folder.iterdir() if STALE_MARK not in p.name}
    if not others:
        return None
    if NAME not in others:
        raise CheckpointError(f"{folder} is not empty and no export: choose another folder")
    about = read_about(folder)
    if about.complete and not force:
        raise CheckpointError(
            f"{folder} holds an export already: choose another folder, or replace it with --force"
        )
    return about


def _clear(folder: Path, earlier: About | None) -> None:
    """Remove an earlier export, its description last, and what a killed one left."""
    remove_stale(folder)
    if earlier is None:
        return
    for pattern in formats.get(earlier.file_format).FILES:
        for split in (*SPLITS, "all"):
            for path in folder.glob(pattern.format(split=split)):
                path.unlink()
    for name in (BPE_NAME, NAME):
        (folder / name).unlink(missing_ok=True)


def _note(folder: Path, about: About) -> None:
    atomic_write(folder / NAME, about.model_dump_json(indent=2) + "\n")


def _describe(
    units: Units,
    name: str,
    encoder: Encoder,
    *,
    times: bool,
    manifest: Manifest | None,
) -> About:
    m, v = units.metadata, encoder.vocabulary
    merged = isinstance(encoder, BPETokenizer)
    return About(
        file_format=name,
        tokens=encoder.config,
        bpe=merged,
        durations=encoder.config.deduplicate or merged or times,
        times=times,
        streams=encoder.streams,
        vocabulary_size=v.size,
        pad=v.pad,
        bos=v.bos,
        eos=v.eos,
        sample_rate=m.sample_rate,
        hop_length=m.hop_length,
        frame_rate=m.frame_rate,
        codebook_sizes=m.codebook_sizes,
        root=None if manifest is None else str(manifest.root),
        model_hash=m.model_hash,
        manifest_hash=m.manifest_hash,
        software=m.software,
    )


def _rows(
    units: Units,
    split: str | None,
    encoder: Encoder,
    about: About,
    manifest: Manifest | None,
) -> Iterator[Row]:
    """Yield what is to be written."""
    records = None if manifest is None else {r.id: r for r in manifest.records}
    for unit in units.select(split):
        found = encoder.encode(unit)
        yield Row(
            id=unit.id,
            tokens=found.ids,
            durations=found.durations if about.durations else None,
            starts=found.starts if about.times else None,
            ends=found.ends if about.times else None,
            num_samples=unit.num_samples,
            speaker=unit.speaker,
            split=unit.split,
            text=unit.text,
            **({} if records is None else _file(unit, records, about.sample_rate)),
        )


def _file(unit: UnitRecord, records: dict[str, Record], sample_rate: int) -> dict[str, Any]:
    """Return which audio file an utterance is."""
    record = records.get(unit.id)
    if record is None:
        raise ManifestError(f"the manifest has no record {unit.id!r}: give that of the units")
    if record.samples_at(sample_rate) != unit.num_samples:
        raise ManifestError(
            f"record {unit.id!r} has {record.samples_at(sample_rate)} samples at {sample_rate} Hz, "
            f"its units {unit.num_samples}: give the manifest that they were extracted from"
        )
    if record.start or record.channel is not None:
        raise ManifestError(
            f"record {unit.id!r} is a part of {record.path!r}, and the format names whole files: "
            f"leave out the manifest, or choose another format"
        )
    return {"path": record.path, "file_samples": record.num_samples}


def _fill(
    form: Format,
    folder: Path,
    about: About,
    rows: Iterator[Row],
    *,
    total: int | None,
    progress: bool,
) -> dict[str, int]:
    """Write the rows; returns how many there are of each split."""
    counts: dict[str, int] = {}
    adds: dict[str, Add] = {}
    with ExitStack() as stack:
        bar = tqdm(rows, "exporting", total, unit="utterance", disable=not progress)
        for row in stack.enter_context(bar):
            name = row.split or "all"
            if name not in adds:
                if name not in {*SPLITS, "all"}:
                    raise ConfigError(f"{row.id!r} is of the split {name!r}; known: {SPLITS}")
                adds[name] = stack.enter_context(form.writer(folder, name, about))
            adds[name](row)
            counts[name] = counts.get(name, 0) + 1
    if not counts:
        raise ConfigError("the units have no utterance of that split")
    return counts
