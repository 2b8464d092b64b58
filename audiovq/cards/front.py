"""The YAML at the top of a model card, which says to programs what the model is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ConfigDict, Field, ValidationError

from audiovq.config import Config
from audiovq.errors import CheckpointError

CARD = "README.md"
MAX_CARD_BYTES = 1 << 20
_FENCE = "---"


class Facts(Config):
    """What a model is, in the words of its card; what a card does not say is empty."""

    model_config = ConfigDict(extra="ignore")  # a later audiovq may say more

    name: str = Field("", max_length=200, description="of the model")
    kind: str = Field("", max_length=40, description="autoencoder or prior")
    summary: str = Field("no card", max_length=300, description="in one line")
    data: str = Field("", max_length=300, description="what it was trained on")
    sample_rate: int = Field(0, description="of its speech (Hz)")
    frame_rate: float = Field(0.0, description="frames per second (Hz)")
    codebook_sizes: tuple[int, ...] = Field((), max_length=256, description="N of each row")
    bitrate: float | None = Field(None, description="nominal bits per second; null: continuous")
    parameters: int = Field(0, description="scalars that training changes")
    storage: str = Field("", max_length=40, description="type of the stored weights")
    fingerprint: str = Field("", max_length=200, description="of the model")
    model: str = Field("", max_length=200, description="of a prior: whose codes it is of")
    model_hash: str = Field("", max_length=200, description="of a prior: that model's fingerprint")


class Front(Config):
    """The part of a card's YAML that audiovq reads; the hub knows more keys."""

    model_config = ConfigDict(extra="ignore")

    license: str = Field("", max_length=200, description="of the weights")
    audiovq: Facts = Field(Facts(), description="what the model is")


def read(folder: Path) -> Front:
    """Return what a folder's card says; of a folder without one, that it has none.

    Raises:
        CheckpointError: the card is damaged.
    """
    path = folder / CARD
    if not path.is_file():
        return Front()
    values = parse(path)
    try:
        return Front.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"{path}: {where}: {first['msg']}") from None


def parse(path: Path) -> dict[str, Any]:
    """Return the YAML at the top of a card as plain values; empty if there is none.

    Raises:
        CheckpointError: it is damaged, or no card at all.
    """
    if path.stat().st_size > MAX_CARD_BYTES:
        raise CheckpointError(f"{path} is larger than {MAX_CARD_BYTES} bytes: no model card")
    try:
        lines = path.read_text("utf-8").splitlines()
        if not lines or lines[0].rstrip() != _FENCE:
            return {}
        end = next(i for i, line in enumerate(lines[1:], 1) if line.rstrip() == _FENCE)
        values = yaml.safe_load("\n".join(lines[1:end])) or {}
    except (UnicodeDecodeError, StopIteration, yaml.YAMLError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise CheckpointError(
            f"{path} is no model card: YAML between two lines {_FENCE!r} is accepted at its top"
        )
    return values


def text(values: Mapping[str, Any]) -> str:
    """Return the top of a card."""
    shown = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=100)
    return f"{_FENCE}\n{shown}{_FENCE}\n"
