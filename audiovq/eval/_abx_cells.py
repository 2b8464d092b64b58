"""Which items ABX compares: cells (A, B, context, speakers), gathered by what they share.

All cells with the same A, X and speakers need the same distances, from each X to all items of the
speaker of A and B in that context; such a `Work` is scored at once. A `Unit` holds the works that
share pairs of items, so that each pair is in one unit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, combinations, pairwise

import numpy as np
import numpy.typing as npt
from jaxtyping import Int64

from audiovq.errors import ConfigError
from audiovq.eval._abx_items import Items

MODES = ("within", "across")
Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Caps:
    """Sub-sampling as in ZeroSpeech, which had 10 and 5; None: all.

    Attributes:
        items: of a phone, context and speaker.
        speakers: of X, for an A and its context and speaker, across speakers.
        seed: of the draw.
    """

    items: int | None = None
    speakers: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Voice:
    """The items of one speaker in one context, by phone.

    Attributes:
        items: their numbers, ascending for each phone.
        phones: the phones there are, ascending.
        start: where each phone's items start in `items`, and at last their number.
    """

    speaker: int
    items: Int64[np.ndarray, " C"]
    phones: Int64[np.ndarray, " L"]
    start: Int64[np.ndarray, " M"]

    def of(self, place: int) -> Int64[np.ndarray, " N"]:
        """Return the items of a phone by its place in `phones`."""
        return self.items[self.start[place] : self.start[place + 1]]


@dataclass(frozen=True)
class Work:
    """All cells of one A, context, speaker and speaker of X.

    Attributes:
        x: items.
        voice: where A and B are from.
        place: of A in the voice's phones.
        speaker_x: the same as the voice's within speakers.
    """

    x: Int64[np.ndarray, " X"]
    voice: Voice
    place: int
    speaker_x: int


@dataclass(frozen=True)
class Unit:
    """Works that share pairs of items.

    Attributes:
        key: context, speaker and other speaker; units come in this order.
        works: at least one.
        condition: number of the figure they are for.
    """

    key: tuple[int, int, int]
    works: tuple[Work, ...]
    condition: int

    @property
    def pairs(self) -> int:
        """How many different pairs of items are compared."""
        _, one, other = self.key
        # X of the one, of the other; items of the voice they are compared with, if they are
        x = sum(len(w.x) for w in self.works if w.speaker_x == one)
        items = {w.voice.speaker: len(w.voice.items) for w in self.works}
        if one == other:
            return x * (x - 1) // 2 + x * (items[one] - x)
        y = sum(len(w.x) for w in self.works if w.speaker_x == other)
        return x * items.get(other, 0) + y * items.get(one, 0) - x * y


def units(
    items: Items, mode: str, kept: npt.NDArray[np.bool_], caps: Caps, condition: int = 0
) -> Iterator[Unit]:
    """Yield the works of a mode, over the items that are kept.

    Raises:
        ConfigError: there is no such mode, or a cap is not accepted.
    """
    if mode not in MODES:
        raise ConfigError(f"mode is {mode!r}; accepted: {', '.join(MODES)}")
    for name, cap, least in (("max_items", caps.items, 2), ("max_x_speakers", caps.speakers, 1)):
        if cap is not None and cap < least:
            raise ConfigError(f"{name} is {cap}; give {least} or more, or None for all")
    rng = np.random.default_rng(caps.seed)
    for voices in _contexts(items, np.flatnonzero(kept), caps.items, rng):
        context = int(items.context[voices[0].items[0]])
        chosen = _x_speakers(voices, caps.speakers, rng)
        for one, other in (
            combinations(voices, 2) if mode == "across" else zip(voices, voices, strict=True)
        ):
            works = (
                _within(one)
                if one is other
                else chain(_across(one, other, chosen), _across(other, one, chosen))
            )
            unit = Unit((context, one.speaker, other.speaker), tuple(works), condition)
            if unit.works:
                yield unit


def _contexts(
    items: Items, kept: Array, cap: int | None, rng: np.random.Generator
) -> Iterator[list[Voice]]:
    """Yield the voices of each context that can discriminate two phones."""
    order = kept[np.lexsort((kept, items.phone[kept], items.speaker[kept], items.context[kept]))]
    for context in _runs(items.context[order]):
        voices = []
        for run in _runs(items.speaker[order[context]]):
            mine = order[context][run]
            sets = [mine[phone] for phone in _runs(items.phone[mine])]
            if cap is not None:
                sets = [s if len(s) <= cap else np.sort(rng.permutation(s)[:cap]) for s in sets]
            start = np.cumsum([0, *map(len, sets)])
            phones = np.array([items.phone[s[0]] for s in sets])
            voices.append(Voice(int(items.speaker[mine[0]]), np.concatenate(sets), phones, start))
        if any(len(v.phones) > 1 for v in voices):
            yield voices


def _runs(values: Array) -> list[slice]:
    """Return where each run of equal values is."""
    edges = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    return [slice(a, b) for a, b in pairwise(edges) if b > a]


def _within(voice: Voice) -> Iterator[Work]:
    if len(voice.phones) > 1:
        for place in np.flatnonzero(np.diff(voice.start) > 1).tolist():
            yield Work(voice.of(place), voice, place, voice.speaker)


Chosen = dict[tuple[int, int], set[int]]  # (speaker, phone) -> speakers of X


def _x_speakers(voices: list[Voice], cap: int | None, rng: np.random.Generator) -> Chosen | None:
    if cap is None:
        return None
    chosen: Chosen = {}
    for voice in voices:
        for phone in voice.phones.tolist():
            others = [v.speaker for v in voices if v is not voice and phone in v.phones]
            chosen[voice.speaker, phone] = set(rng.permutation(others)[:cap].tolist())
    return chosen


def _across(voice: Voice, other: Voice, chosen: Chosen | None) -> Iterator[Work]:
    """Yield works with A and B from one speaker, X from the other."""
    if len(voice.phones) < 2:
        return
    shared, places, others = np.intersect1d(
        voice.phones, other.phones, assume_unique=True, return_indices=True
    )
    for phone, place, at in zip(shared.tolist(), places.tolist(), others.tolist(), strict=True):
        if chosen is None or other.speaker in chosen[voice.speaker, phone]:
            yield Work(other.of(at), voice, place, other.speaker)
