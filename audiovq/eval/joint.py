"""Joint counts of phones and units, the one thing all figures on phones are made of."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from audiovq.eval import folding
from audiovq.eval.intervals import MAX_BLOCKS
from audiovq.eval.labelled import NO_LABEL, Corpus

_MOST = 1 << 26  # numbers in a table of counts by group: 512 MiB


@dataclass(frozen=True)
class Joint:
    """Every frame of the aligned utterances, end to end.

    Attributes:
        phones: place of the frame's phone in `names`; -1 where it has none.
        units: number of the frame's unit among those that occur.
        speakers: place of the frame's speaker in `speaker_names`; -1 where unknown.
        utterances: place of the frame's utterance.
        names: phones.
        codes: the codes that occur, ascending.
        silence: place of silence in `names`; -1 where there is none.
    """

    phones: Int64[np.ndarray, "T"]
    units: Int64[np.ndarray, "T"]
    speakers: Int64[np.ndarray, "T"]
    utterances: Int64[np.ndarray, "T"]
    names: tuple[str, ...]
    codes: Int64[np.ndarray, "U"]
    speaker_names: tuple[str, ...]
    silence: int

    @property
    def shape(self) -> tuple[int, int]:
        """Phones and units."""
        return len(self.names), len(self.codes)

    def labelled(self, *, silence: bool = True) -> "Joint":
        """Return the frames that have a phone, or those that have one other than silence."""
        keep = self.phones != NO_LABEL
        if not silence:
            keep &= self.phones != self.silence
        return self._of(keep)

    def shifted(self, frames: int) -> "Joint":
        """Return the same with every unit moved that many frames later, round the end."""
        return Joint(**{**vars(self), "units": np.roll(self.units, frames)})

    def counts(self) -> Int64[np.ndarray, "P U"]:
        """Return how often each phone and unit go together, over frames with a phone."""
        return tally(self._cells(), self.shape[0] * self.shape[1]).reshape(self.shape)

    def by_group(self, groups: Int64[np.ndarray, "T"], number: int) -> Int64[np.ndarray, "G P U"]:
        """Return the counts of each group of frames; groups are thrown together if too many."""
        size = self.shape[0] * self.shape[1]
        number = min(number, fitting(size))
        table: np.ndarray = tally((groups % number) * size + self._cells(), number * size)
        return table.reshape(number, *self.shape)

    def by_speaker(self) -> Iterator[tuple[str, Int64[np.ndarray, "P U"]]]:
        """Yield the counts of each speaker, one at a time."""
        order = np.argsort(self.speakers, kind="stable")
        ends = np.searchsorted(self.speakers[order], np.arange(len(self.speaker_names) + 1))
        cells, size = self._cells()[order], self.shape[0] * self.shape[1]
        for name, start, end in zip(self.speaker_names, ends, ends[1:], strict=False):
            yield name, tally(cells[start:end], size).reshape(self.shape)

    def _cells(self) -> Int64[np.ndarray, "T"]:
        assert (self.phones >= 0).all(), "take labelled() first"
        cells: np.ndarray = self.phones * self.shape[1] + self.units
        return cells

    def _of(self, keep: np.ndarray) -> "Joint":
        per_frame = ("phones", "units", "speakers", "utterances")
        return Joint(**{**vars(self), **{k: getattr(self, k)[keep] for k in per_frame}})


def join(corpus: Corpus) -> Joint:
    """Lay the aligned utterances of a corpus end to end."""
    utterances = corpus.aligned
    names = tuple(dict.fromkeys(u.speaker for u in utterances if u.speaker is not None))
    place = {name: i for i, name in enumerate(names)}
    lengths = [u.labels.size for u in utterances]
    codes, units = np.unique(_joined([u.units for u in utterances]), return_inverse=True)
    known = corpus.phones
    return Joint(
        phones=_joined([u.labels for u in utterances]),
        units=units.astype(np.int64),
        speakers=np.repeat(
            np.array([place.get(u.speaker or "", -1) for u in utterances], np.int64), lengths
        ),
        utterances=np.repeat(np.arange(len(utterances)), lengths),
        names=known,
        codes=codes,
        speaker_names=names,
        silence=known.index(folding.SILENCE) if folding.SILENCE in known else -1,
    )


def tally(values: Int64[np.ndarray, "_"], size: int) -> Int64[np.ndarray, "_"]:
    """Return how often each of 0 .. size - 1 occurs."""
    return np.bincount(values, minlength=size).astype(np.int64)


def fitting(columns: int) -> int:
    """Return how many groups a table of that many columns may have."""
    return int(np.clip(_MOST // max(columns, 1), 10, MAX_BLOCKS))


def _joined(arrays: list[np.ndarray]) -> Int64[np.ndarray, "_"]:
    return np.concatenate([np.zeros(0, np.int64), *arrays]).astype(np.int64)
