"""What ABX compares: the frames of every phone, with its neighbours' labels and its speaker."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Int64

from audiovq.errors import ConfigError, ManifestError

SILENCE = "sil"
MAX_FRAMES = 8191  # of an item: what the warping's integers hold
TASKS = ("triphone", "phoneme")
_ROUNDING = 1e-6  # of a frame: a centre this near to a border is on it
_BEYOND = 2  # frames that an alignment may go on after the last one


@dataclass(frozen=True)
class Utterance:
    """Aligned speech and its units.

    Attributes:
        id: unique.
        speaker: whose speech it is.
        sentence: what names its text, to leave some out by; None: nothing does.
        hop: seconds per frame; frame i stands for the time (i + 1/2) hop.
        phones: (start, end, label) in seconds, in order; labels folded, closures and pauses as
            `sil`. Those with None are left out, as if their neighbours followed each other.
        frames: unit ids (T,) or vectors (T, D).
    """

    id: str
    speaker: str
    sentence: str | None
    hop: float
    phones: tuple[tuple[float, float, str | None], ...]
    frames: npt.NDArray[np.generic]


@dataclass(frozen=True)
class Items:
    """Phones to compare, in the order of the utterances.

    Attributes:
        start: first frame, counted over all utterances one after another.
        length: frames.
        phone: number of the label in `phones`.
        context: number of the pair of neighbours; 0 for phonemes.
        speaker: number of the speaker in `speakers`.
        utterance: which it is from.
        dropped: why phones are no items, and how many.
    """

    start: Int64[np.ndarray, " I"]
    length: Int64[np.ndarray, " I"]
    phone: Int64[np.ndarray, " I"]
    context: Int64[np.ndarray, " I"]
    speaker: Int64[np.ndarray, " I"]
    utterance: Int64[np.ndarray, " I"]
    phones: tuple[str, ...]
    speakers: tuple[str, ...]
    dropped: dict[str, int]


def collect(utterances: Sequence[Utterance], task: str) -> Items:
    """Return the items of a task.

    A triphone goes from its first neighbour's onset to its second's offset, a phoneme is the phone
    alone. An item's frames are those whose time lies in it, both ends included: from
    ceil(onset / hop - 1/2) to floor(offset / hop - 1/2).

    Raises:
        ConfigError: there is no such task.
        ManifestError: an alignment is out of order or does not fit the frames.
    """
    if task not in TASKS:
        raise ConfigError(f"task is {task!r}; accepted: {', '.join(TASKS)}")
    labels = sorted({p[2] for u in utterances for p in u.phones if p[2] is not None})
    speakers = sorted({u.speaker for u in utterances})
    number = {label: i for i, label in enumerate(labels)}
    voice = {name: i for i, name in enumerate(speakers)}
    dropped = {"without both neighbours": 0, "without frames": 0}
    rows: list[tuple[int, ...]] = []
    first = 0
    for index, utterance in enumerate(utterances):
        _check(utterance)
        for before, label, after, onset, offset in _spans(utterance, task):
            if before is None or after is None:
                dropped["without both neighbours"] += 1
                continue
            start, length = _frames(onset, offset, utterance)
            if length < 1:
                dropped["without frames"] += 1
                continue
            context = number[before] * len(labels) + number[after] if before else 0
            who = voice[utterance.speaker]
            rows.append((first + start, length, number[label], context, who, index))
        first += len(utterance.frames)
    columns = np.array(rows, dtype=np.int64).reshape(-1, 6).T
    start_, length_, phone, context_, speaker, index_ = columns
    names = tuple(labels), tuple(speakers)
    return Items(start_, length_, phone, context_, speaker, index_, *names, dropped)


Span = tuple[str | None, str, str | None, float, float]


def _spans(utterance: Utterance, task: str) -> Iterator[Span]:
    """Yield neighbour, phone, neighbour, onset and offset; a missing neighbour is None.

    The neighbours of a phoneme do not count, and are "".
    """
    phones = [(start, end, p) for start, end, p in utterance.phones if p is not None]
    nothing = (0.0, 0.0, None)
    around = zip([nothing, *phones], phones, [*phones[1:], nothing], strict=False)
    for (onset, _, before), (start, end, label), (_, offset, after) in around:
        if label != SILENCE and task == "triphone":
            yield before, label, after, onset, offset
        elif label != SILENCE:
            yield "", label, "", start, end


def _frames(onset: float, offset: float, utterance: Utterance) -> tuple[int, int]:
    """Return the first frame of a stretch of time, and how many there are."""
    start = max(0, math.ceil(onset / utterance.hop - 0.5 - _ROUNDING))
    last = math.floor(offset / utterance.hop - 0.5 + _ROUNDING)
    length = min(last, len(utterance.frames) - 1) - start + 1
    if length > MAX_FRAMES:
        raise ManifestError(
            f"{utterance.id}: {onset:.3f} to {offset:.3f} s is {length} frames, and ABX compares "
            f"at most {MAX_FRAMES}; cut long pauses, or use the phoneme task"
        )
    return start, length


def _check(utterance: Utterance) -> None:
    """Refuse what would give a figure that means nothing."""
    if not (math.isfinite(utterance.hop) and utterance.hop > 0):
        raise ConfigError(f"{utterance.id}: hop is {utterance.hop!r}; give seconds per frame")
    time = 0.0
    for start, end, label in utterance.phones:
        if not time - _ROUNDING <= start <= end:  # also catches NaN
            raise ManifestError(
                f"{utterance.id}: phone {label!r} from {start} to {end} s is out of order; "
                "phones must follow each other without overlap"
            )
        time = end
    covered = (len(utterance.frames) + _BEYOND) * utterance.hop
    if time > covered:
        raise ManifestError(
            f"{utterance.id}: the alignment ends at {time:.3f} s, the {len(utterance.frames)} "
            f"frames of {1000 * utterance.hop:g} ms at {covered - _BEYOND * utterance.hop:.3f} s; "
            "give the hop of these units and the alignment of this audio"
        )
