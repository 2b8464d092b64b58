"""Small aligned corpora with codes, made from strings."""

from pathlib import Path

import numpy as np

from audiovq.data.manifest import Manifest, Record
from audiovq.eval.coded import Coded
from audiovq.eval.labelled import Corpus, label

RATE, HOP = 1000, 10


def record(name, rows, *, rate=RATE, samples=None, speaker="s", **about):
    """A record with rows (start, end, label) in samples."""
    samples = samples or max(end for _, end, _ in rows)
    alignment = {"phones": tuple(rows)} if rows else None
    return Record(
        id=name, path=f"{name}.wav", sample_rate=rate, num_samples=samples, speaker=speaker,
        alignment=alignment, **about,
    )  # fmt: skip


def manifest(records):
    return Manifest(Path("some.jsonl"), Path(), {}, list(records))


def coded(units, lengths, *, sizes=(8,), hop=HOP, rate=RATE, label="u"):
    """Codes by id: (T,) or (K, T)."""
    codes = {k: np.atleast_2d(np.asarray(v, np.int64)) for k, v in units.items()}
    return Coded(label, rate, hop, tuple(sizes), codes, lengths)


def corpus(utterances, *, sizes=(8,), hop=HOP, **about) -> Corpus:
    """From (speaker, a phone letter per frame, a digit per frame): frames of 10 ms, no gaps.

    A phone letter of "." is silence and "-" is no label.
    """
    records, units = [], {}
    for i, (speaker, phones, digits) in enumerate(utterances):
        rows, start = [], 0
        for t in range(1, len(phones) + 1):
            if t == len(phones) or phones[t] != phones[start]:
                if phones[start] != "-":
                    name = {".": "sil"}.get(phones[start], phones[start])
                    rows.append((start * hop, t * hop, name))
                start = t
        records.append(record(f"u{i}", rows, samples=len(phones) * hop, speaker=speaker))
        units[f"u{i}"] = [[int(c) for c in row] for row in digits.split("/")]
    lengths = {r.id: r.num_samples for r in records}
    made = coded(units, lengths, sizes=sizes, hop=hop)
    return label(made, manifest(records), **about)


def values(figures):
    return {f.key: f.value for f in figures}
