"""Deduplicated units of one recording, with times; where each occurs; as files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Int
from torch import Tensor

from audiovq.autoencoder import Autoencoder

from ..sound import Recording

CONTEXT = 0.25  # seconds before and after a unit in a clip


@dataclass(frozen=True)
class Unit:
    """A run of equal codes.

    Attributes:
        number: place in the recording, from 0.
        codes: one of each chosen codebook.
        start: when it begins (s).
        end: when it ends (s).
        frames: how long it lasts.
    """

    number: int
    codes: tuple[int, ...]
    start: float
    end: float
    frames: int

    @property
    def label(self) -> str:
        """The codes as text, such as "417" or "417.3"."""
        return ".".join(map(str, self.codes))


@dataclass(frozen=True, kw_only=True)
class Found:
    """The units of a recording.

    Attributes:
        recording: at the model's rate.
        codebooks: rows of codes that make the units.
        codes: every row.
        codebook_sizes: of every row.
        hop_length: samples per frame.
        model_hash: fingerprint of the model.
        units: in order.
    """

    recording: Recording
    codebooks: tuple[int, ...]
    codes: Int[Tensor, "K T"]
    codebook_sizes: tuple[int, ...]
    hop_length: int
    model_hash: str
    units: tuple[Unit, ...]

    @property
    def rate(self) -> float:
        """Units per second."""
        raise NotImplementedError

    def header(self) -> list[str]:
        """Return the names of the table's columns, with units."""
        raise NotImplementedError

    def rows(self) -> list[list[str | int | float]]:
        """Return the table: a row per unit, in order."""
        raise NotImplementedError

    def at(self, seconds: float) -> Unit:
        """Return the unit at a time, such as that of a click on the picture."""
        raise NotImplementedError


@dataclass(frozen=True)
class Clip:
    """A unit as it sounds somewhere, with some context.

    Attributes:
        recording: the sound; its name says where it is from.
        start: when the unit begins in it (s).
        end: when it ends in it (s).
        where: in words, such as "here, 1.24 s" or "1089-134686-0001, 3.10 s, speaker 1089".
    """

    recording: Recording
    start: float
    end: float
    where: str


def units(
    model: Autoencoder, recording: Recording, codebooks: Sequence[int] | None = None
) -> Found:
    """Return the units of a recording.

    Args:
        model: a discrete one.
        recording: at any rate.
        codebooks: rows of codes, from 0, that must all be equal within a unit; None: the first.

    Raises:
        ConfigError: the model is continuous, or has no such row.
        AudioError: the recording is empty or not finite.
    """
    raise NotImplementedError


def occurrences(found: Found, codes: Sequence[int]) -> list[Unit]:
    """Return where a unit occurs in the recording."""
    raise NotImplementedError


def clips(
    found: Found, codes: Sequence[int], *, context: float = CONTEXT, limit: int = 12
) -> list[Clip]:
    """Return the sound of a unit at each place in the recording, the first `limit` of them."""
    raise NotImplementedError


def export(found: Found, folder: Path) -> list[Path]:
    """Write the units as NAME.jsonl, NAME.km and NAME.csv into a folder; returns their paths.

    JSONL and .km are written by the formats of `audiovq export-units`, deduplicated, with
    durations and times where they hold them; several codebooks become several streams, and .km,
    which holds one, has the first. CSV: start (s), end (s), frames, and one column per codebook.

    Raises:
        ConfigError: a file cannot hold the recording's name.
    """
    raise NotImplementedError
