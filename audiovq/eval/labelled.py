"""Codes beside the phones that were said: every frame gets the phone at its centre.

Frame t stands for samples [t h, (t + 1) h) at the codes' rate; its label is the row [start, end)
of the alignment that holds the instant t h + h / 2 (as ABXpy and fastabx have it). That is decided
in whole numbers, so it is exact at any hop and any pair of rates. A frame whose centre no row
holds has no label: it is counted, and used in no figure on phones.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Int64

from audiovq.data.manifest import Manifest, Record
from audiovq.errors import CheckpointError, ConfigError, ManifestError
from audiovq.eval import folding
from audiovq.eval.coded import Coded

Phone = tuple[float, float, str]
NO_LABEL = -1


@dataclass(frozen=True)
class Labelled:
    """An utterance: its codes, and what was said when.

    Attributes:
        codes: all rows.
        codebook: the row that `units` is.
        hop: seconds per frame.
        duration: seconds of audio.
        phones: rows of the alignment in seconds, as labelled there; empty without one.
        labels: of each frame, place in `Corpus.phones` (folded); -1 where it has none.
    """

    id: str
    speaker: str | None
    split: str | None
    text: str | None
    codes: Int64[np.ndarray, "K T"]
    codebook: int
    hop: float
    duration: float
    phones: tuple[Phone, ...]
    labels: Int64[np.ndarray, "T"]

    @property
    def units(self) -> Int64[np.ndarray, "T"]:
        """The chosen row of the codes."""
        row: np.ndarray = self.codes[self.codebook]
        return row


@dataclass(frozen=True)
class Corpus:
    """Utterances of one source of codes.

    Attributes:
        coded: where the codes are from.
        utterances: those that are both in the codes and in the manifest, in the manifest's order.
        codebook: the row that was chosen.
        phones: folded labels, silence among them; empty where nothing is aligned.
        folding: what each label of the alignments became; None: dropped.
        only_coded: ids that the manifest lacks.
        only_listed: ids of the manifest (and split) without codes.
        unaligned: ids without a row of the tier.
    """

    coded: Coded
    utterances: tuple[Labelled, ...]
    codebook: int
    phones: tuple[str, ...]
    folding: Mapping[str, str | None]
    only_coded: tuple[str, ...] = ()
    only_listed: tuple[str, ...] = ()
    unaligned: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Codebook size of the chosen row."""
        return self.coded.codebook_sizes[self.codebook]

    @property
    def aligned(self) -> tuple[Labelled, ...]:
        """The utterances with an alignment."""
        return tuple(u for u in self.utterances if u.phones)

    @property
    def unlabelled(self) -> int:
        """Frames of aligned utterances that have no phone: gaps, and dropped labels."""
        return sum(int((u.labels == NO_LABEL).sum()) for u in self.aligned)

    @property
    def frames(self) -> int:
        """Frames of aligned utterances."""
        return sum(u.labels.size for u in self.aligned)

    def notes(self) -> list[str]:
        """Return what a reader must know about what was left out."""
        said = list(self.coded.notes)
        for ids, what in (
            (self.only_coded, "in the units and not in the manifest (or not in the split)"),
            (self.only_listed, "in the manifest without units"),
            (
                self.unaligned if self.aligned else (),
                "without alignment, left out of what needs it",
            ),
        ):
            if ids:
                said.append(f"{len(ids)} utterances {what}: {_some(ids)}")
        if self.unlabelled:
            share = 100 * self.unlabelled / self.frames
            dropped = ", ".join(sorted(k for k, v in self.folding.items() if v is None))
            why = f"gaps, or labels dropped in folding ({dropped})" if dropped else "gaps"
            said.append(
                f"{self.unlabelled:,} of {self.frames:,} frames ({share:.1f} %) have no phone and "
                f"are left out of shares, accuracies and the error rate: {why}"
            )
        return said


def label(
    coded: Coded,
    manifest: Manifest,
    *,
    split: str | None = None,
    codebook: int = 0,
    tier: str = "phones",
) -> Corpus:
    """Put codes beside what the manifest says of the same utterances.

    Args:
        coded: codes of the same recordings.
        manifest: the corpus, aligned or not.
        split: only its records; None: all.
        codebook: which row of the codes to look at.
        tier: of the alignment.

    Raises:
        ConfigError: no such row.
        CheckpointError: the codes have another number of frames than the recordings.
        ManifestError: no utterance in common; rows of an alignment overlap.
    """
    if not 0 <= codebook < len(coded.codebook_sizes):
        raise ConfigError(
            f"--codebook {codebook}: {coded.label} has rows 0 to {len(coded.codebook_sizes) - 1}"
        )
    records = manifest.select(split)
    common = [r for r in records if r.id in coded.codes]
    if not common:
        raise ManifestError(
            f"no utterance of {coded.label} is in {manifest.path}"
            f"{f' (split {split})' if split else ''}: units say {_some(list(coded.codes))}, the "
            f"manifest says {_some([r.id for r in records])}"
        )
    fold = folding.table(
        row[2] for r in common for row in (r.alignment or {}).get(tier, ())
    )  # of the corpus as a whole: TIMIT's labels are known by their company
    phones = tuple(sorted({p for p in fold.values() if p is not None}))
    places = {k: NO_LABEL if v is None else phones.index(v) for k, v in fold.items()}
    listed = {r.id for r in records}
    return Corpus(
        coded=coded,
        utterances=tuple(_utterance(coded, r, codebook, tier, places) for r in common),
        codebook=codebook,
        phones=phones,
        folding=fold,
        only_coded=tuple(i for i in coded.codes if i not in listed),
        only_listed=tuple(r.id for r in records if r.id not in coded.codes),
        unaligned=tuple(r.id for r in common if not (r.alignment or {}).get(tier)),
    )


def _utterance(
    coded: Coded, record: Record, codebook: int, tier: str, places: Mapping[str, int]
) -> Labelled:
    codes, length = coded.codes[record.id], record.samples_at(coded.sample_rate)
    frames = -(-length // coded.hop_length)
    if codes.shape[-1] != frames or coded.lengths[record.id] != length:
        raise CheckpointError(
            f"{coded.label}: {record.id!r} has {codes.shape[-1]} frames for "
            f"{coded.lengths[record.id]} samples, but the manifest's recording has {length} "
            f"samples at {coded.sample_rate} Hz, which is {frames} frames of {coded.hop_length}: "
            f"units of another hop, rate or corpus"
        )
    rows = sorted((record.alignment or {}).get(tier, ()))
    _check(rows, record, tier)
    rate = record.sample_rate
    return Labelled(
        id=record.id,
        speaker=record.speaker,
        split=record.split,
        text=record.text,
        codes=codes,
        codebook=codebook,
        hop=coded.hop,
        duration=record.duration,
        phones=tuple((a / rate, b / rate, name) for a, b, name in rows),
        labels=frame_labels(
            [(a, b, places[name]) for a, b, name in rows],
            frames,
            hop_length=coded.hop_length,
            sample_rate=coded.sample_rate,
            rows_rate=rate,
        ),
    )


def frame_labels(
    rows: Sequence[tuple[int, int, int]],
    frames: int,
    *,
    hop_length: int,
    sample_rate: int,
    rows_rate: int,
) -> Int64[np.ndarray, "T"]:
    """Return the label at each frame's centre, -1 where no row holds it.

    Args:
        rows: in order, [start, end) in samples at rows_rate, and a label.
        frames: how many.
        hop_length: samples per frame, at sample_rate.
        sample_rate: of the codes (Hz).
        rows_rate: of the alignment (Hz).
    """
    labels = np.full(frames, NO_LABEL, np.int64)
    if not rows:
        return labels
    # instants as multiples of 1 / (2 sample_rate rows_rate) s: all whole numbers
    centres = (2 * np.arange(frames, dtype=np.int64) + 1) * hop_length * rows_rate
    table = np.array(rows, np.int64)
    starts, ends = table[:, 0] * 2 * sample_rate, table[:, 1] * 2 * sample_rate
    place = np.searchsorted(starts, centres, side="right") - 1
    inside = (place >= 0) & (centres < ends[place])
    labels[inside] = table[place[inside], 2]
    return labels


def _check(rows: Sequence[tuple[int, int, str]], record: Record, tier: str) -> None:
    for (_, end, one), (start, _, other) in pairwise(rows):
        if start < end:
            raise ManifestError(
                f"{record.id!r}: {tier} rows overlap: {other!r} starts at sample {start}, before "
                f"{one!r} ends ({end}); mend the alignment, one phone at a time"
            )


def _some(ids: Iterable[str]) -> str:
    ids = list(ids)
    return ", ".join(map(repr, ids[:3])) + (" ..." if len(ids) > 3 else "")
