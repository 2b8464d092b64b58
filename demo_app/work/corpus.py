"""Where a unit occurs in a corpus: a folder of `audiovq extract`, and its audio if it is there."""

import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice, zip_longest
from pathlib import Path

from audiovq import units as unit_folders
from audiovq.data.manifest import Manifest, Record
from audiovq.errors import AudioError, AudioVQError
from audiovq.units.corpus import open_corpus
from audiovq.units.record import UnitRecord

from ..sound import Recording
from .units import CONTEXT, Clip, Found, Unit, clip_of, runs

MOST_UTTERANCES = 20_000  # that are searched: the first ones


class Corpus:
    """The units of a corpus, searched unit by unit.

    May be used by several threads at once.

    Args:
        folder: what `audiovq extract` wrote; its manifest is where it was then.
        manifest: where it is now, if it has moved.

    Attributes:
        name: of the folder.
        note: why there is no sound, in one line; "" if there is.
        utterances: how many are searched.

    Raises:
        CheckpointError: the folder is missing, unfinished or damaged.
    """

    def __init__(self, folder: str | Path, manifest: str | Path | None = None) -> None:
        self._units = unit_folders.load(folder)
        self.name = Path(folder).resolve().name
        self.utterances = min(len(self._units), MOST_UTTERANCES)
        self._lock = threading.Lock()  # `Units` keeps shards, and is of one thread
        told = self._units.metadata.made_from.get("manifest")
        self._manifest, self._records, self.note = _open(manifest or told)
        self._places = lru_cache(maxsize=256)(self._search)

    def why_not(self, found: Found) -> str:
        """Return why units of this recording are none of this corpus, in one line; "" if so."""
        if found.model_hash == self._units.metadata.model_hash:
            return ""
        return (
            f"the corpus {self.name} holds units of another model ("
            f"{self._units.metadata.coder or 'unknown'}): choose the one it was extracted with"
        )

    def count(self, codes: Sequence[int], codebooks: Sequence[int] = (0,)) -> int:
        """Return how often a unit occurs (runs, not frames)."""
        return sum(len(each) for _, each in self._places(tuple(codes), tuple(codebooks)))

    def clips(
        self,
        codes: Sequence[int],
        codebooks: Sequence[int] = (0,),
        *,
        context: float = CONTEXT,
        limit: int = 12,
    ) -> list[Clip]:
        """Return how a unit sounds in the corpus: once of each utterance, then twice, ...

        Empty where the audio is not there; `note` says why.
        """
        if self._manifest is None:
            return []
        found = self._places(tuple(codes), tuple(codebooks))
        turns = zip_longest(*([(name, unit) for unit in each] for name, each in found))
        order = (place for turn in turns for place in turn if place is not None)
        return list(islice(self._heard(order, context), limit))

    def _heard(self, order: Iterator[tuple[str, Unit]], context: float) -> Iterator[Clip]:
        """Yield clips of those places whose audio can be read."""
        for name, unit in order:
            record = self._records.get(name)
            if record is not None and (clip := self._cut(record, unit, context)) is not None:
                yield clip

    def _cut(self, record: Record, unit: Unit, context: float) -> Clip | None:
        """Return a clip of a record, of which only that part is read."""
        assert self._manifest is not None
        rate = record.sample_rate
        first = min(max(0, int((unit.start - context) * rate)), record.num_samples - 1)
        after = min(max(first + 1, int((unit.end + context) * rate)), record.num_samples)
        try:
            x = self._manifest.load(record, rate, start=first, num_samples=after - first)
        except (AudioError, OSError):
            return None
        shift = first / rate
        who = f", speaker {record.speaker}" if record.speaker else ""
        where = f"{record.id}, {unit.start:.2f} s{who}"
        heard = Recording(x, rate, record.id)
        return clip_of(heard, unit.start - shift, unit.end - shift, where, context)

    def _search(
        self, codes: tuple[int, ...], codebooks: tuple[int, ...]
    ) -> list[tuple[str, list[Unit]]]:
        """Return the utterances that hold a unit, each with its places."""
        found = []
        for number in range(self.utterances):
            with self._lock:
                record = self._units[number]
            places = self._of(record, codes, codebooks)
            if places:
                found.append((record.id, places))
        return found

    def _of(
        self, record: UnitRecord, codes: tuple[int, ...], codebooks: tuple[int, ...]
    ) -> list[Unit]:
        chosen = record.codes[list(codebooks)]
        if not bool((chosen == chosen.new_tensor(codes).unsqueeze(1)).all(0).any()):
            return []
        facts = self._units.metadata
        each = runs(chosen, record.num_samples, facts.hop_length, facts.sample_rate)
        return [unit for unit in each if unit.codes == codes]


def _open(
    manifest: str | Path | None,
) -> tuple[Manifest | None, dict[str, Record], str]:
    """Return a corpus with its records by id, and why its audio is not there, if so."""
    if manifest is None:
        return None, {}, "the units do not say which corpus they are of: no sound to play"
    try:
        opened, _ = open_corpus(Path(manifest))
    except (AudioVQError, OSError):
        return None, {}, "the corpus that the units are of is no longer where it was: no sound"
    records = {record.id: record for record in opened.records}
    if not any(opened.file(r).is_file() for r in islice(records.values(), 3)):
        return None, {}, "the audio files of the corpus are no longer where they were: no sound"
    return opened, records, ""
