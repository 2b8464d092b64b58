"""Codes of a corpus on disk: a folder of shards and `units.json`.

Everything that reads codes goes through `load`, never by file name. A shard is JSONL, a line per
utterance:

    {"id": "19-198-0001", "num_samples": 218400, "codes": [[417, 3, ...]], "speaker": "19", "split": "train"}

`codes` has K rows of T = ceil(num_samples / hop_length) codes each; `num_samples` counts at the
model's sample rate, so decoding gives back exactly that many.
"""  # noqa: E501

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from pydantic import Field, ValidationError
from torch import Tensor

from audiovq.config import Config
from audiovq.errors import CheckpointError
from audiovq.files import atomic_write, sha256

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


class Units:
    """The codes of a corpus, read shard by shard; memory holds one shard.

    Args:
        folder: what `audiovq extract` wrote.
        metadata: its validated `units.json`.
    """

    def __init__(self, folder: Path, metadata: Metadata) -> None:
        self.folder, self.metadata = folder, metadata

    def __len__(self) -> int:
        """Number of utterances."""
        return sum(s.records for s in self.metadata.shards)

    def __iter__(self) -> Iterator[UnitRecord]:
        """Yield every utterance, in the manifest's order."""
        for shard in self.metadata.shards:
            yield from read_shard(self.folder, shard, self.metadata)

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
        return Metadata.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"{path}: {where}: {first['msg']}") from None
    except (ValueError, RecursionError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from None


def write_metadata(folder: Path, metadata: Metadata) -> None:
    """Replace `units.json` in one step."""
    atomic_write(folder / NAME, metadata.model_dump_json(indent=2) + "\n")


def read_shard(folder: Path, shard: Shard, metadata: Metadata) -> list[UnitRecord]:
    """Return a shard's records, after checking its bytes and every code."""
    path = folder / shard.file
    if not path.is_file() or sha256(path) != shard.sha256:
        raise CheckpointError(f"{path} is not the file that was extracted (checksum differs)")
    with path.open(encoding="utf-8") as file:
        records = [_record(path, line, metadata) for line in file]
    if len(records) != shard.records:
        raise CheckpointError(f"{path} has {len(records)} records instead of {shard.records}")
    return records


def _record(path: Path, line: str, metadata: Metadata) -> UnitRecord:
    values: dict[str, Any] = json.loads(line)
    codes = torch.tensor(values.pop("codes"), dtype=torch.int64)
    sizes = torch.tensor(metadata.codebook_sizes).view(-1, 1)
    frames = -(-values["num_samples"] // metadata.hop_length)
    if codes.shape != (len(sizes), frames) or bool(((codes < 0) | (codes >= sizes)).any()):
        raise CheckpointError(
            f"{path}: codes of {values['id']!r} do not fit its length or codebooks"
        )
    return UnitRecord(codes=codes, **values)
