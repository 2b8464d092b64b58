"""Codes of a corpus on disk: a folder of shards and `units.json`.

Everything that reads codes goes through `load`, never by file name. A shard is JSONL, a line per
utterance:

    {"id": "19-198-0001", "num_samples": 218400, "codes": [[417, 3, ...]], "speaker": "19", "split": "train"}

`codes` has K rows of T = ceil(num_samples / hop_length) codes each; `num_samples` counts at the
model's sample rate, so decoding gives back exactly that many.
"""  # noqa: E501

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from pydantic import Field, ValidationError
from torch import Tensor

from audiovq.config import Config
from audiovq.errors import CheckpointError
from audiovq.files import atomic_write

FORMAT, VERSION, NAME = "audiovq.units", 1, "units.json"


class Shard(Config):
    """One finished file of a units folder."""

    file: str = Field(pattern=r"^[A-Za-z0-9._-]+$", description="name in the folder")
    records: int = Field(ge=0, description="utterances in it")
    sha256: str = Field(description="checksum of its bytes")


class Metadata(Config):
    """What `units.json` holds: how the codes came about and how to read them."""

    format: str = FORMAT
    version: int = VERSION
    model_hash: str = Field(description="fingerprint of the model")
    sample_rate: int = Field(ge=1, description="of the model (Hz)")
    hop_length: int = Field(ge=1, description="samples per frame")
    codebook_sizes: tuple[int, ...] = Field(min_length=1, description="N of each row of codes")
    layout: tuple[str, ...] = Field(description="what each row of codes holds")
    manifest_hash: str = Field(description="fingerprint of the records")
    splits: tuple[str, ...] | None = Field(None, description="splits extracted; null: all")
    exact: bool = Field(True, description="whether codes are the same however they were batched")
    records_per_shard: int = Field(ge=1, description="records of the manifest per shard")
    seconds_per_shard: float | None = Field(None, description="audio per shard (s); null: any")
    software: dict[str, str] = Field(description="versions that made the codes")
    complete: bool = Field(False, description="whether every shard is there")
    shards: tuple[Shard, ...] = ()

    @property
    def frame_rate(self) -> float:
        """Frames per second (Hz)."""
        return self.sample_rate / self.hop_length

    @property
    def bitrate(self) -> float:
        """Nominal bits per second."""
        bits = torch.tensor(self.codebook_sizes, dtype=torch.float64).log2().sum()
        return float(bits) * self.frame_rate


@dataclass(frozen=True)
class UnitRecord:
    """The codes of one utterance.

    Attributes:
        num_samples: exact length at the model's sample rate.
    """

    id: str
    codes: Int[Tensor, "K T"]
    num_samples: int
    speaker: str | None = None
    split: str | None = None
    text: str | None = None

    def to_json(self) -> str:
        """Return the record as one line."""
        values = {
            "id": self.id,
            "num_samples": self.num_samples,
            "codes": self.codes.tolist(),
            "speaker": self.speaker,
            "split": self.split,
            "text": self.text,
        }
        return json.dumps({k: v for k, v in values.items() if v is not None}, ensure_ascii=False)


class _Line(Config):
    """One line of a shard, as it must be."""

    id: str = Field(min_length=1)
    num_samples: int = Field(ge=1)
    codes: list[list[int]]
    speaker: str | None = None
    split: str | None = None
    text: str | None = None


class Units:
    """The codes of a corpus: iterate over them in the manifest's order, or name an utterance.

        for unit in units: ...
        units["19-198-0001"].codes

    Iterating holds one shard in memory, naming the place of every utterance on disk (built, with
    every shard checked, at the first use).

    Args:
        folder: what `audiovq extract` wrote.
        metadata: its validated `units.json`.
    """

    def __init__(self, folder: Path, metadata: Metadata) -> None:
        self.folder, self.metadata = folder, metadata
        self._index: dict[str, tuple[Path, int]] | None = None  # id -> file, byte where its line is

    def __len__(self) -> int:
        """Number of utterances."""
        return sum(s.records for s in self.metadata.shards)

    def __iter__(self) -> Iterator[UnitRecord]:
        """Yield every utterance, in the manifest's order."""
        for shard in self.metadata.shards:
            yield from read_shard(self.folder, shard, self.metadata)

    def __getitem__(self, utterance: str) -> UnitRecord:
        """Return the utterance of that id."""
        if utterance not in self._places():
            raise KeyError(f"no utterance {utterance!r} in {self.folder}")
        path, start = self._places()[utterance]
        with path.open("rb") as file:
            file.seek(start)
            return _record(path, file.readline(), self.metadata)

    def __contains__(self, utterance: object) -> bool:
        """Whether there is an utterance of that id."""
        return utterance in self._places()

    def ids(self) -> list[str]:
        """Return all ids, in the manifest's order."""
        return list(self._places())

    def _places(self) -> dict[str, tuple[Path, int]]:
        if self._index is None:
            places: dict[str, tuple[Path, int]] = {}
            for shard in self.metadata.shards:
                path, start = self.folder / shard.file, 0
                for line in _lines(path, shard):
                    name = _record(path, line, self.metadata).id
                    if name in places:
                        raise CheckpointError(f"{path}: the id {name!r} is there twice")
                    places[name] = path, start
                    start += len(line)
            self._index = places
        return self._index

    def select(self, split: str | None) -> Iterator[UnitRecord]:
        """Yield the utterances of one split; all for None."""
        return (r for r in self if split is None or r.split == split)


def load(folder: str | Path) -> Units:
    """Open a finished units folder.

    Raises:
        CheckpointError: it is missing, unfinished, damaged, or of another version.
    """
    folder = Path(folder)
    metadata = read_metadata(folder)
    if metadata is None:
        raise CheckpointError(f"no {NAME} in {folder}: not a folder of `audiovq extract`")
    if not metadata.complete:
        raise CheckpointError(
            f"{folder} is unfinished: give `audiovq extract` the same arguments again"
        )
    for shard in metadata.shards:
        if not (folder / shard.file).is_file():
            raise CheckpointError(f"{folder} lacks its shard {shard.file}")
    return Units(folder, metadata)


def read_metadata(folder: Path) -> Metadata | None:
    """Return the validated `units.json`, or None where there is none."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text("utf-8"))
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise CheckpointError(f"{path} does not describe audiovq units")
        if values.get("version") != VERSION:
            raise CheckpointError(
                f"{path} has version {values.get('version')!r}; this audiovq reads {VERSION}"
            )
        values.pop("frame_rate", None)  # there for other readers; it follows from the rest
        return Metadata.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"{path}: {where}: {first['msg']}") from None
    except (ValueError, RecursionError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from None


def write_metadata(folder: Path, metadata: Metadata) -> None:
    """Replace `units.json` in one step."""
    values = metadata.model_dump(mode="json") | {"frame_rate": metadata.frame_rate}
    atomic_write(folder / NAME, json.dumps(values, indent=2) + "\n")


def read_shard(folder: Path, shard: Shard, metadata: Metadata) -> list[UnitRecord]:
    """Return a shard's records, after checking its bytes and every code."""
    path = folder / shard.file
    return [_record(path, line, metadata) for line in _lines(path, shard)]


def _lines(path: Path, shard: Shard) -> list[bytes]:
    """Return a shard's lines once its bytes are known to be those that were written."""
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != shard.sha256:
        raise CheckpointError(f"{path} is not the file that was extracted (checksum differs)")
    lines = data.splitlines(keepends=True)  # of bytes: at \n, \r\n and \r, which JSON escapes
    if len(lines) != shard.records:
        raise CheckpointError(f"{path} has {len(lines)} records instead of {shard.records}")
    return lines


def _record(path: Path, text: bytes, metadata: Metadata) -> UnitRecord:
    try:
        line = _Line.model_validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"{path}: a line is not a record ({where}: {first['msg']})") from None
    frames, sizes = -(-line.num_samples // metadata.hop_length), metadata.codebook_sizes
    fits = len(line.codes) == len(sizes) and all(
        len(row) == frames and min(row) >= 0 and max(row) < size
        for row, size in zip(line.codes, sizes, strict=True)
    )
    if not fits:
        raise CheckpointError(f"{path}: codes of {line.id!r} do not fit its length or codebooks")
    about = line.model_dump(exclude={"codes"})
    return UnitRecord(codes=torch.tensor(line.codes, dtype=torch.int64), **about)
