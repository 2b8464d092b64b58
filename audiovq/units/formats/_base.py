"""What every format shares: rows, a description beside them, and how a file is written."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from pydantic import Field, ValidationError
from torch import Tensor

from audiovq.config import Config
from audiovq.errors import CheckpointError, ConfigError
from audiovq.units.tokens import TokenConfig, Tokenizer

NAME, BPE_NAME = "export.json", "bpe.model"


class About(Config):
    """What `export.json` says of the files beside it."""

    format: Literal["audiovq.export"] = "audiovq.export"
    version: Literal[1] = 1
    file_format: str = Field(description="name of the format")
    tokens: TokenConfig = Field(description="how codes became tokens")
    bpe: bool = Field(False, description=f"whether the tokens are those of {BPE_NAME}")
    durations: bool = Field(False, description="whether frames per token are there")
    times: bool = Field(False, description="whether starts and ends (s) are there")
    streams: int = Field(ge=1, description="sequences per utterance")
    vocabulary_size: int = Field(ge=1, description="ids, special ones included")
    pad: int = Field(description="id of padding")
    bos: int = Field(description="id of the start of a sequence")
    eos: int = Field(description="id of the end of a sequence")
    sample_rate: int = Field(ge=1, description="of the model (Hz)")
    hop_length: int = Field(ge=1, description="samples per frame")
    frame_rate: float = Field(gt=0, description="frames per second")
    codebook_sizes: tuple[int, ...] = Field(description="N of each row of the codes")
    root: str | None = Field(None, description="folder of the audio; null: paths are ids")
    model_hash: str = Field(description="fingerprint of the model")
    manifest_hash: str = Field(description="fingerprint of the corpus")
    software: dict[str, str] = Field(description="versions that made the codes")
    complete: bool = Field(False, description="whether every file is there")
    splits: dict[str, int] = Field(default_factory=dict, description="utterances per split")

    def tokenizer(self) -> Tokenizer:
        """Return what turned codes into tokens, before BPE."""
        return Tokenizer(self.tokens, self.codebook_sizes, self.sample_rate, self.hop_length)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One utterance in a file; None where the format, or this file, does not hold it.

    Attributes:
        durations: frames that each token stands for.
        starts: when each token starts (s).
        ends: when each token ends (s).
        num_samples: exact length at the model's sample rate.
        path: of the audio, relative to the root, in formats that name files.
        file_samples: length of that audio at its own rate.
    """

    id: str
    tokens: Int[Tensor, "S n"]
    durations: Int[Tensor, "S n"] | None = None
    starts: Float[Tensor, "S n"] | None = None
    ends: Float[Tensor, "S n"] | None = None
    num_samples: int | None = None
    speaker: str | None = None
    split: str | None = None
    text: str | None = None
    path: str | None = None
    file_samples: int | None = None


Add = Callable[[Row], None]

_STREAMS = {"durations": torch.int64, "starts": torch.float64, "ends": torch.float64}


@runtime_checkable
class Format(Protocol):
    """A module of this package: one format.

    Attributes:
        FILES: what it writes, as patterns with `{split}` in them.
        DEDUPLICATED: whether the format is defined on deduplicated units.
        LINES: whether it is lines of plain numbers: one stream, no times.
        PATHS: whether it names audio files, and so takes a manifest.
    """

    FILES: tuple[str, ...]
    DEDUPLICATED: bool
    LINES: bool
    PATHS: bool

    def writer(self, folder: Path, split: str, about: About) -> AbstractContextManager[Add]:
        """Open the files of one split; they are there, whole, when the block ends."""

    def reader(self, folder: Path, split: str, about: About) -> Iterator[Row]:
        """Yield the rows of one split, in order."""


def about_file(about: About) -> str:
    """Return what a file says of itself, as JSON: the description, but for the folder's state."""
    return about.model_dump_json(exclude={"complete", "splits"})


def flat(x: Tensor) -> Tensor:
    """Return a lone stream as a vector; several as they are."""
    return x[0] if x.shape[0] == 1 else x


def stacked(values: Any, kind: torch.dtype = torch.int64) -> Tensor:
    """Return an array or list of numbers, or of equally long ones, as streams: (S, n)."""
    found = torch.as_tensor(values, dtype=kind)
    return found.unsqueeze(0) if found.ndim == 1 else found


def numbers(row: Row) -> dict[str, Tensor]:
    """Return the streams that a row has beside its tokens, by name."""
    found = {name: getattr(row, name) for name in _STREAMS}
    return {k: v for k, v in found.items() if v is not None}


def labels(row: Row) -> dict[str, str]:
    """Return the words that a row has, by name."""
    found = {"speaker": row.speaker, "split": row.split, "text": row.text}
    return {k: v for k, v in found.items() if v is not None}


def row(values: dict[str, Any], *, id: str, tokens: Int[Tensor, "S n"]) -> Row:  # noqa: A002
    """Return a row from lists and words, as JSON holds them."""
    found: dict[str, Any] = {k: values.get(k) for k in ("num_samples", "speaker", "split", "text")}
    for name, kind in _STREAMS.items():
        if values.get(name) is not None:
            found[name] = stacked(values[name], kind)
    return Row(id=id, tokens=tokens, **found)


def one_line(name: str, what: str) -> str:
    """Return a name that a file of lines can hold.

    Raises:
        ConfigError: it cannot.
    """
    if "\n" in name or "\r" in name:
        raise ConfigError(
            f"{what} {name!r} has a line break, which a format of lines cannot hold: choose npz, "
            f"jsonl, webdataset or parquet"
        )
    return name


def read_about(folder: str | Path) -> About:
    """Return the description of an exported folder.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    path = Path(folder) / NAME
    try:
        return About.model_validate(json.loads(path.read_text("utf-8")))
    except OSError as error:
        raise CheckpointError(
            f"cannot read {path} ({error.strerror}): not a finished folder of "
            f"`audiovq export-units`"
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"{path}: {where}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from None
