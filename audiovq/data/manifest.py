r"""Manifests: a corpus as a JSONL file, one utterance a line.

The first line is a header, every other a record:

    {"format": "audiovq.manifest", "version": 1, "root": "../corpora/LibriSpeech"}
    {"id": "19-198-0001", "path": "19/198/19-198-0001.flac", "sample_rate": 16000, "num_samples": 218400, "speaker": "19", "split": "train"}

`root` is absolute or relative to the manifest's folder; `path` is relative to the root and may
name a member of an uncompressed tar (`shard.tar/utterance.flac`). Samples are counted at the
record's own `sample_rate`.
"""  # noqa: E501

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from jaxtyping import Float
from pydantic import Field, ValidationError, model_validator
from torch import Tensor

from audiovq import audio
from audiovq.config import Config
from audiovq.errors import AudioError, ManifestError
from audiovq.files import atomic_open

FORMAT, VERSION = "audiovq.manifest", 1
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

_HEADER = f'{{"format": "{FORMAT}", "version": {VERSION}, "root": "."}}'
MAX_SAMPLES = 1 << 48  # over 20 years at 384 kHz
_MAX_LINE = 1 << 24  # characters; a line of 16 MiB is not a record


class Record(Config):
    """One utterance: a file, or a part of one."""

    id: str = Field(min_length=1, max_length=1024, description="unique in the manifest")
    path: str = Field(min_length=1, description="relative to the manifest's root")
    sample_rate: int = Field(
        ge=audio.MIN_RATE, le=audio.MAX_RATE, description="rate of the file (Hz)"
    )
    num_samples: int = Field(ge=1, le=MAX_SAMPLES, description="samples, at the file's rate")
    start: int = Field(0, ge=0, le=MAX_SAMPLES, description="first sample, at the file's rate")
    channel: int | None = Field(None, ge=0, description="channel from 0; none: mean of all")
    speaker: str | None = Field(None, description="speaker id")
    split: Split | None = Field(None, description="train, validation or test")
    language: str | None = Field(None, description="BCP 47 language tag")
    text: str | None = Field(None, description="what is said")
    alignment: dict[str, tuple[tuple[int, int, str], ...]] | None = Field(
        None, description="tiers such as phones: [start, end) in samples from `start`, and label"
    )

    @model_validator(mode="after")
    def _rows_lie_inside(self) -> "Record":
        for tier, rows in (self.alignment or {}).items():
            for start, end, label in rows:
                if not 0 <= start <= end <= self.num_samples:
                    raise ValueError(
                        f"{tier} row [{start}, {end}, {label!r}] is not in order within the "
                        f"record's {self.num_samples} samples"
                    )
        return self

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate

    def samples_at(self, sample_rate: int) -> int:
        """Return the number of samples after resampling."""
        return audio.resampled_length(self.num_samples, self.sample_rate, sample_rate)


@dataclass(frozen=True)
class Manifest:
    """A corpus in memory.

    Attributes:
        path: the file it came from.
        root: folder that record paths start at.
        header: the first line.
        records: in the file's order.
    """

    path: Path
    root: Path
    header: Mapping[str, Any]
    records: Sequence[Record]

    def select(self, split: str | None) -> list[Record]:
        """Return the records of one split; all of them for None."""
        return [r for r in self.records if split is None or r.split == split]

    def file(self, record: Record) -> Path:
        """Return where a record's audio is."""
        return self.root / record.path

    def load(
        self, record: Record, sample_rate: int, *, start: int = 0, num_samples: int | None = None
    ) -> Float[Tensor, "1 1 L"]:
        """Load a record's waveform at a rate (Hz), or `num_samples` of it from `start` on.

        Raises:
            AudioError: the file cannot be decoded, or is not as the record says.
        """
        return audio.load(
            self._checked(record),
            sample_rate,
            start=record.start + start,
            num_samples=record.num_samples if num_samples is None else num_samples,
            channel=record.channel,
        )

    def blocks(self, record: Record, sample_rate: int) -> Iterator[Float[Tensor, "1 1 _"]]:
        """Yield a record's waveform in blocks, in bounded memory."""
        return audio.blocks(
            self._checked(record),
            sample_rate,
            start=record.start,
            num_samples=record.num_samples,
            channel=record.channel,
        )

    def _checked(self, record: Record) -> Path:
        """Return a record's file, after comparing it with the record."""
        path = self.file(record)
        info = audio.probe(path)
        end = record.start + record.num_samples
        if info.sample_rate != record.sample_rate or info.num_samples < end:
            raise AudioError(
                f"{path} has {info.num_samples} samples at {info.sample_rate} Hz; record "
                f"{record.id!r} of {self.path} says {end} at {record.sample_rate}: prepare again"
            )
        return path

    def fingerprint(self) -> str:
        """Return the SHA-256 of all records: equal if and only if they are."""
        digest = hashlib.sha256()
        for record in self.records:
            digest.update(_line(record).encode())
        return digest.hexdigest()


def read(path: str | Path, *, check_files: bool = False) -> Manifest:
    """Read and validate a manifest.

    Args:
        path: the JSONL file.
        check_files: also look whether every audio file is there.

    Raises:
        ManifestError: names file and line of the first fault: no header, another version, a bad
            or torn line, a duplicate id, a missing audio file.
    """
    path = Path(path)
    header = read_header(path)
    root = (path.parent / header["root"]).resolve()
    manifest = Manifest(path, root, header, list(iterate(path)))
    if not manifest.records:
        raise ManifestError(f"{path} has a header but no records")
    if check_files:
        _check_files(manifest)
    return manifest


def read_header(path: str | Path) -> dict[str, Any]:
    """Return a manifest's first line, validated; `root` is in it always."""
    path = Path(path)
    for _, line in _lines(path):
        return _header(path, line)
    raise ManifestError(f"{path} is empty; its first line must be {_HEADER}")


def iterate(path: str | Path) -> Iterator[Record]:
    """Yield a manifest's records one by one, validated, duplicate ids refused.

    Raises:
        ManifestError: as `read`; the records before the fault have been given by then.
    """
    path = Path(path)
    seen: dict[str, int] = {}
    for number, line in _lines(path):
        if number == 1:
            _header(path, line)
            continue
        record = _record(path, number, line)
        if record.id in seen:
            raise ManifestError(
                f"{path}, line {number}: id {record.id!r} was used on line {seen[record.id]}"
            )
        seen[record.id] = number
        yield record


def write(path: str | Path, root: str, records: Iterable[Record], **about: Any) -> None:
    """Write a manifest in one step.

    Args:
        path: the JSONL file to create or replace.
        root: folder of the audio: absolute, or relative to the manifest's folder.
        records: in order.
        about: more for the header, such as the corpus.

    Raises:
        ManifestError: the folder is missing, or nothing can be written there.
    """
    path = Path(path)
    header = {"format": FORMAT, "version": VERSION, "root": root, **about}
    try:
        with atomic_open(path) as file:
            file.write((json.dumps(header) + "\n").encode())
            for record in records:
                file.write((_line(record) + "\n").encode())
    except OSError as error:
        raise ManifestError(f"cannot write the manifest {path}: {error.strerror}") from None


def _line(record: Record) -> str:
    return json.dumps(record.model_dump(exclude_defaults=True), ensure_ascii=False)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, 1):
                if len(line) > _MAX_LINE:
                    raise ManifestError(f"{path}, line {number} is longer than {_MAX_LINE}")
                if not line.endswith("\n") and not _is_json(line):
                    raise ManifestError(
                        f"{path}, line {number} is cut off: the file was not copied whole; copy "
                        f"it again, or delete that line"
                    )
                yield number, line
    except OSError as error:
        raise ManifestError(f"cannot read the manifest {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path} is not a manifest: it is not UTF-8 text ({error})") from None


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _header(path: Path, line: str) -> dict[str, Any]:
    header = json.loads(line) if _is_json(line) else None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ManifestError(f"{path} has no header; its first line must be {_HEADER}")
    if header.get("version") != VERSION:
        raise ManifestError(
            f"{path} has version {header.get('version')!r}; this audiovq reads {VERSION}"
        )
    root = header.setdefault("root", ".")
    if not isinstance(root, str) or "\0" in root:
        raise ManifestError(f"{path}, line 1: `root` is {root!r}; it must be the name of a folder")
    return header


def _record(path: Path, number: int, line: str) -> Record:
    try:
        record = Record.model_validate_json(line, strict=True)
    except ValidationError as error:
        raise ManifestError(f"{path}, line {number}: {_first(error)}") from None
    if ".." in PurePosixPath(record.path).parts or record.path.startswith("/"):
        raise ManifestError(
            f"{path}, line {number}: path {record.path!r} leaves the root; paths are relative to it"
        )
    return record


def _first(error: ValidationError) -> str:
    """Say the first fault of a record in one line."""
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    if first["type"] == "json_invalid":
        return f"not JSON: {first['ctx']['error']}"
    if first["type"] == "extra_forbidden":
        return f"{where!r} is no key of a record; known: {', '.join(Record.model_fields)}"
    if first["type"] == "missing":
        return f"the key {where!r} is missing"
    message = first["msg"].removeprefix("Value error, ")
    given = "" if isinstance(first["input"], dict) else f"{first['input']!r} given; "
    return f"{where}: {given}{message}" if where else message


def _check_files(manifest: Manifest) -> None:
    gone = [r.path for r in manifest.records if not audio.exists(manifest.file(r))]
    if gone:
        shown = ", ".join(map(repr, gone[:3])) + (" ..." if len(gone) > 3 else "")
        raise ManifestError(
            f"{manifest.path}: {len(gone)} of {len(manifest.records)} files are not under "
            f"{manifest.root}: {shown}; correct `root` in line 1, or prepare the corpus again"
        )
