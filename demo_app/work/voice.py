"""The same words in another voice, with a model whose decoder is told who speaks."""

from collections.abc import Iterator
from dataclasses import dataclass

from audiovq.autoencoder import Autoencoder

from ..sound import Recording


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A recording in another voice.

    Attributes:
        original: at the model's rate.
        recording: as long.
        speaker: whose voice; None: nobody's in particular.
    """

    original: Recording
    recording: Recording
    speaker: str | None


@dataclass(frozen=True)
class Nearest:
    """How well the voices of a model fit a reference recording, as far as they were tried.

    Attributes:
        speakers: best first, each with the log-mel distance (dB) of the reference decoded as them.
        done: share of the speakers that were tried, in [0, 1].
    """

    speakers: tuple[tuple[str, float], ...]
    done: float


def convert(model: Autoencoder, recording: Recording, speaker: str | None) -> Converted:
    """Say a recording in a speaker's voice; of None, in that of anyone.

    Raises:
        ConfigError: the model takes no speakers, or does not know this one.
        AudioError: the recording is empty or not finite.
    """
    raise NotImplementedError


def nearest(model: Autoencoder, reference: Recording, seconds: float = 4.0) -> Iterator[Nearest]:
    """Yield, better each time, which speakers of a model fit a reference recording.

    A model with a table of speakers cannot take any voice: its own voices are tried, and that one
    fits best as which the reference, encoded and decoded, is nearest to itself.

    Args:
        model: a speaker-conditioned one.
        reference: speech of the voice that is wanted; of a long one the beginning is used.
        seconds: of it that are used.

    Raises:
        ConfigError: the model takes no speakers.
        AudioError: the reference is empty, not finite, or silent.
    """
    raise NotImplementedError
