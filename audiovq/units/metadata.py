"""`units.json`: how the codes of a folder came about, and how to read them. Imports no torch."""

import json
import math
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from audiovq.config import Config
from audiovq.errors import CheckpointError
from audiovq.files import atomic_write

FORMAT, VERSION, NAME = "audiovq.units", 2, "units.json"
VECTORS = "vectors.npy"

ShardFormat = Literal["parquet", "jsonl"]


class Shard(Config):
    """One finished file of a units folder."""

    file: str = Field(pattern=r"^[A-Za-z0-9._-]+$", description="name in the folder")
    records: int = Field(ge=0, description="utterances in it")
    sha256: str = Field(description="checksum of its bytes")


class Metadata(Config):
    """What `units.json` holds: how the codes came about and how to read them."""

    format: str = FORMAT
    version: int = VERSION
    coder: str = Field("", description="what made the codes, in a word or two")
    model_hash: str = Field(description="fingerprint of the model")
    sample_rate: int = Field(ge=1, description="of the model (Hz)")
    hop_length: int = Field(ge=1, description="samples per frame")
    codebook_sizes: tuple[int, ...] = Field(min_length=1, description="N of each row of codes")
    layout: tuple[str, ...] = Field(description="what each row of codes holds")
    manifest_hash: str = Field(description="fingerprint of the records")
    splits: tuple[str, ...] | None = Field(None, description="splits extracted; null: all")
    exact: bool = Field(True, description="whether codes are the same however they were batched")
    device: str = Field("cpu", description="kind of device that computed them")
    shard_format: ShardFormat = Field("jsonl", description="format of the shards")
    records_per_shard: int = Field(ge=1, description="records of the manifest per shard")
    seconds_per_shard: float | None = Field(None, description="audio per shard (s); null: any")
    software: dict[str, str] = Field(description="versions that made the codes")
    request: dict[str, str] = Field(
        default_factory=dict, description="checksums of the files that were asked for"
    )
    made_from: dict[str, str] = Field(
        default_factory=dict, description="where coder and corpus were, for `audiovq verify`"
    )
    vectors_sha256: str | None = Field(
        None, description=f"checksum of {VECTORS}: the vector of each code of the first row"
    )
    complete: bool = Field(False, description="whether every shard is there")
    rejected: int = Field(0, ge=0, description="recordings listed in rejected.jsonl")
    shards: tuple[Shard, ...] = ()

    @property
    def frame_rate(self) -> float:
        """Frames per second (Hz)."""
        return self.sample_rate / self.hop_length

    @property
    def bitrate(self) -> float:
        """Nominal bits per second."""
        return sum(math.log2(n) for n in self.codebook_sizes) * self.frame_rate


def read_metadata(folder: Path) -> Metadata | None:
    """Return the validated `units.json`, or None where there is none.

    Raises:
        CheckpointError: it is damaged, or of another version.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text("utf-8"))
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise CheckpointError(f"{path} does not describe audiovq units")
        return Metadata.model_validate(_migrate(path, values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"{path}: {where}: {first['msg']}") from None
    except (ValueError, RecursionError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from None


def _migrate(path: Path, values: dict[str, Any]) -> dict[str, Any]:
    if values.get("version") == 1:  # lacks what has a default here; shards were JSONL
        values["version"] = VERSION
    if values.get("version") != VERSION:
        raise CheckpointError(
            f"{path} has version {values.get('version')!r}; this audiovq reads up to {VERSION}"
        )
    values.pop("frame_rate", None)  # there for other readers; it follows from the rest
    return values


def write_metadata(folder: Path, metadata: Metadata) -> None:
    """Replace `units.json` in one step."""
    values = metadata.model_dump(mode="json") | {"frame_rate": metadata.frame_rate}
    atomic_write(folder / NAME, json.dumps(values, indent=2) + "\n")
