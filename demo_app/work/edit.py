"""Codes that are changed step by step, and what they sound like."""

from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from audiovq.autoencoder import Autoencoder
from audiovq.bottlenecks._base import DiscreteBottleneck
from audiovq.errors import ConfigError

from ..sound import Recording, checked
from .changes import Span, erase, repeat, reverse, smooth, span_of, swap

OPERATIONS = ("swap", "repeat", "erase", "reverse", "smooth")


@dataclass(frozen=True, kw_only=True)
class Edit:
    """What to do, in times.

    Attributes:
        operation: one of `OPERATIONS`.
        start: of the span (s).
        end: of the span (s).
        other_start: of the span that it is swapped with (s).
        other_end: of that span (s).
        times: that it occurs, of `repeat`.
        width: codes looked at, of `smooth`; odd.
    """

    operation: str
    start: float
    end: float
    other_start: float = 0.0
    other_end: float = 0.0
    times: int = 2
    width: int = 5


@dataclass(frozen=True, kw_only=True)
class Edited:
    """Codes, and how they sound.

    Attributes:
        codes: now.
        recording: decoded from them, at the model's rate.
        span: frames that the last edit made or changed, empty where it cut; None before the first.
        before: codes before it; None before the first one.
    """

    codes: Int[Tensor, "K T"]
    recording: Recording
    span: Span | None = None
    before: Int[Tensor, "K S"] | None = None


def begin(model: Autoencoder, recording: Recording) -> Edited:
    """Return the codes of a recording and their sound, to start from.

    Raises:
        ConfigError: the model is continuous.
        AudioError: the recording is empty or not finite.
    """
    if not model.is_discrete:
        raise ConfigError(
            f"a {model.config.bottleneck.name} model is continuous and has no codes to edit: "
            f"choose a discrete one"
        )
    heard = checked(recording).at(model.sample_rate)
    device = next(model.parameters()).device
    codes = model.encode(heard.x.to(device), exact=True)[0].cpu()
    return Edited(codes=codes, recording=_sound(model, codes, heard.x.shape[-1], heard.name))


def edit(model: Autoencoder, now: Edited, wish: Edit, *, max_seconds: float = 60.0) -> Edited:
    """Return the codes after one more edit, and their sound.

    Args:
        model: whose codes they are.
        now: where to go on from: what `begin` or `edit` returned.
        wish: what to do.
        max_seconds: longest result.

    Raises:
        ConfigError: the edit cannot be done; one line says why.
    """
    rate, before = model.frame_rate, now.codes
    frames = before.shape[1]
    span = span_of(wish.start, wish.end, rate, frames)
    if wish.operation == "repeat":  # looked at before memory is taken
        _check_length((frames + (wish.times - 1) * span.frames) / rate, max_seconds)
    codes, changed = _changed(model, before, wish, span)
    cut = frames * model.hop_length - now.recording.x.shape[-1]  # short of the last whole frame
    length = codes.shape[1] * model.hop_length - cut
    return Edited(
        codes=codes,
        recording=_sound(model, codes, length, now.recording.name),
        span=changed,
        before=before,
    )


def _changed(
    model: Autoencoder, codes: Int[Tensor, "K T"], wish: Edit, span: Span
) -> tuple[Int[Tensor, "K _"], Span]:
    """Return the codes after an edit, and the frames of them that it made or changed."""
    assert isinstance(model.bottleneck, DiscreteBottleneck)
    books = model.bottleneck.books
    match wish.operation:
        case "swap":
            other = span_of(wish.other_start, wish.other_end, model.frame_rate, codes.shape[1])
            both = Span(min(span.start, other.start), max(span.stop, other.stop))
            return swap(codes, span, other), both
        case "repeat":
            stop = span.start + wish.times * span.frames
            return repeat(codes, span, wish.times), Span(span.start, stop)
        case "erase":
            return erase(codes, span), Span(span.start, span.start)
        case "reverse":
            return reverse(codes, span, books), span
        case "smooth":
            return smooth(codes, span, wish.width, books), span
    raise ConfigError(f"no edit {wish.operation[:40]!r}; known: {', '.join(OPERATIONS)}")


def _check_length(seconds: float, most: float) -> None:
    if seconds > most:
        raise ConfigError(
            f"the result would be {seconds:,.1f} s long; up to {most:g} s is accepted: repeat less "
            f"often, or a shorter span"
        )


def _sound(model: Autoencoder, codes: Int[Tensor, "K T"], length: int, name: str) -> Recording:
    device = next(model.parameters()).device
    x = model.decode(codes.unsqueeze(0).to(device), length).cpu()
    return Recording(x, model.sample_rate, name)
