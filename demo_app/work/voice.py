"""The same words in another voice, with a model whose decoder is told who speaks."""

from collections.abc import Iterator
from dataclasses import dataclass

from audiovq import audio
from audiovq.autoencoder import Autoencoder
from audiovq.errors import AudioError, ConfigError
from audiovq.eval.reconstruction import Scorer
from audiovq.voice.convert import convert as in_voice
from audiovq.voice.reference import hear

from ..sound import Recording, checked

_AT_A_TIME = 4  # speakers that are tried between two answers


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A recording in another voice.

    Attributes:
        original: at the model's rate.
        recording: as long and as loud.
        voice: whose, in words.
    """

    original: Recording
    recording: Recording
    voice: str


@dataclass(frozen=True)
class Nearest:
    """How well the voices of a model fit a reference recording, as far as they were tried.

    Attributes:
        speakers: best first, each with the log-mel distance (dB) of the reference decoded as them.
        done: share of the speakers that were tried, in [0, 1].
    """

    speakers: tuple[tuple[str, float], ...]
    done: float


ANYONE = "no one in particular"


def convert(model: Autoencoder, recording: Recording, wanted: str | Recording | None) -> Converted:
    """Say a recording in another voice.

    Args:
        model: a speaker-conditioned one.
        recording: what is said; it is encoded at one level and long-term spectrum.
        wanted: a speaker of the model, a recording of anyone, or None: nobody in particular.

    Raises:
        ConfigError: the model takes no speakers, does not know this one, or hears no recordings.
        AudioError: a recording is empty or not finite, or the wanted voice's silent or too short.
    """
    model.speaker_index([])  # refuses a model without speakers
    if isinstance(wanted, Recording):
        condition, voice = hear(model, wanted.x, wanted.sample_rate), wanted.name
    else:
        condition, voice = model.speaker_index([_known(model, wanted)]), wanted or ANYONE
    original = checked(recording).at(model.sample_rate)
    made = in_voice(model, original.x, condition).cpu()
    short = wanted.name if isinstance(wanted, Recording) else wanted or "anyone"
    name = f"{original.name}-as-{short}"
    return Converted(
        original=original,
        recording=Recording(made, model.sample_rate, name),
        voice=voice,
    )


def _known(model: Autoencoder, speaker: str | None) -> str | None:
    if speaker is not None and speaker not in model.speakers:
        shown = ", ".join(model.speakers[:8])
        raise ConfigError(
            f"no voice {speaker[:40]!r} in this model; it has {len(model.speakers)}: {shown}"
            f"{' ...' * (len(model.speakers) > 8)}"
        )
    return speaker


def nearest(model: Autoencoder, reference: Recording, seconds: float = 4.0) -> Iterator[Nearest]:
    """Yield, better each time, which speakers of a model fit a reference recording.

    For a model that hears no recordings, as it cannot take on any other voice: its own are tried,
    and that one fits best as which the reference, encoded and decoded, is nearest to itself.

    Args:
        model: a speaker-conditioned one.
        reference: speech of the voice that is wanted; of a long one the beginning is used.
        seconds: of it that are used.

    Raises:
        ConfigError: the model takes no speakers.
        AudioError: the reference is empty, not finite, or silent.
    """
    model.speaker_index([])  # refuses a model without speakers
    heard = checked(reference).at(model.sample_rate).part(0.0, seconds)
    if float(heard.x.abs().max()) < audio.SILENCE:
        raise AudioError("the reference is silent: give a recording of the voice that is wanted")
    return _tried(model, heard)


def _tried(model: Autoencoder, heard: Recording) -> Iterator[Nearest]:
    x = heard.x.to(next(model.parameters()).device)
    z, length = model.embed(x, exact=True), x.shape[-1]
    scorer = Scorer(model.sample_rate, ["log_mel_distance"])
    found: list[tuple[str, float]] = []
    for number, speaker in enumerate(model.speakers, 1):
        made = model.decode_embedding(z, length, model.speaker_index([speaker])).cpu()
        distance = scorer(heard.x, made)["log_mel_distance"]
        assert not isinstance(distance, str), distance
        found.append((speaker, distance))
        if number % _AT_A_TIME == 0 or number == len(model.speakers):
            best = tuple(sorted(found, key=lambda each: each[1]))
            yield Nearest(best, number / len(model.speakers))
