"""Who trains, who validates, who tests: one rule for every corpus, disjoint by speaker."""

import hashlib
from collections.abc import Sequence

from audiovq.data.manifest import SPLITS, Record, Split


def split_of(name: str) -> Split:
    """Return the split of a speaker: test for hash 0 and 1 of 10, validation for 2, else train.

    The hash is the first byte of the SHA-256 of the name, modulo 10.
    """
    bucket = hashlib.sha256(name.encode()).digest()[0] % 10
    return "test" if bucket < 2 else "validation" if bucket == 2 else "train"


def assign(records: Sequence[Record]) -> tuple[list[Record], str]:
    """Give every record without a split its own.

    By speaker where speakers are known and every split gets some; otherwise by utterance, with at
    least one utterance in each split if there are three.

    Returns:
        the records, and a sentence about the splits when they share speakers ("" otherwise).
    """
    if all(r.split is not None for r in records):
        return list(records), ""
    by_speaker = [
        r if r.split or not r.speaker else r.model_copy(update={"split": split_of(r.speaker)})
        for r in records
    ]
    if {r.split for r in by_speaker} == set(SPLITS):
        return by_speaker, ""
    why = (
        "the speakers are too few to be kept apart"
        if all(r.speaker for r in records)
        else "not every record has a speaker"
    )
    note = f"{why}: splits are by utterance and may share speakers"
    return _by_utterance(records), note


def _by_utterance(records: Sequence[Record]) -> list[Record]:
    """Split by the hash of the id; a corpus's own choice stays."""
    splits = [r.split or split_of(r.id) for r in records]
    free = [i for i, r in enumerate(records) if r.split is None]
    free.sort(key=lambda i: hashlib.sha256(records[i].id.encode()).digest())
    wanted: tuple[Split, ...] = SPLITS if len(records) >= 3 else ("train",)
    for name in wanted:
        if name not in splits:  # take one from the largest split, the same one every time
            counts = {s: sum(splits[i] == s for i in free) for s in SPLITS}
            largest = max(SPLITS, key=lambda s: counts[s])
            if counts[largest] > 1 or len(records) < 3:
                splits[next(i for i in free if splits[i] == largest)] = name
    return [r.model_copy(update={"split": s}) for r, s in zip(records, splits, strict=True)]
