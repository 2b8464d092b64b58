"""The same recording through several models."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from audiovq.autoencoder import Autoencoder

from ..sound import Recording
from .resynthesise import Resynthesis


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One model's part of a comparison.

    Attributes:
        name: of the model.
        found: what became of the recording.
        heard: the reconstruction at the loudness of the original.
        gain: that it got for that (dB).
    """

    name: str
    found: Resynthesis
    heard: Recording
    gain: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Several models' reconstructions of one recording, as far as they are finished.

    Attributes:
        original: as it was given, at the loudness of the others.
        entries: in the order asked for.
        failed: by model, why it has none, in one line.
        how: how loudness was matched, in words.
        done: share of the models that are finished, in [0, 1].
    """

    original: Recording
    entries: tuple[Compared, ...]
    failed: Mapping[str, str]
    how: str
    done: float

    def header(self) -> list[str]:
        """Return the names of the table's columns, with units."""
        raise NotImplementedError

    def rows(self) -> list[list[str]]:
        """Return the table: a row per model."""
        raise NotImplementedError


def compare(
    load: Callable[[str], Autoencoder],
    names: Sequence[str],
    recording: Recording,
    codebooks: Mapping[str, int] | None = None,
) -> Iterator[Comparison]:
    """Yield the comparison after each model, with one more entry; stops when it is closed.

    Args:
        load: gives a model by name (`Shelf.model`).
        names: of the models.
        recording: at any rate.
        codebooks: by model, how many first codebooks to use; others use all.

    Raises:
        ConfigError: no model is named, or one twice.
        AudioError: the recording is empty or not finite.
    """
    raise NotImplementedError
