"""The corpora of the voice figures: known speakers, with recordings to learn from and to convert.

    audiovq prepare speechocean762 speechocean762 -o speechocean.jsonl
    audiovq prepare librispeech LibriSpeech -o librispeech.jsonl
    python benchmarks/voice_corpus.py speechocean.jsonl librispeech.jsonl voice

Models are trained on voice/train.jsonl: the speakers of speechocean762, LibriSpeech 19 and 27, and
the training speakers of LibriSpeech. voice/speechocean.jsonl and voice/librispeech.jsonl (19 and
27) are converted: of each speaker of the former two utterances are in `validation`, by which a
variant is chosen, and three in `test`; of 19 and 27 twenty in `test`; what is in `train` models
have heard. Which utterance goes where a hash of its id decides. voice/groups.txt tells women (F)
from men (M).
"""

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from audiovq.data import manifest as manifests
from audiovq.data.manifest import Manifest, Record

PAIR = ("19", "27")  # a woman and a man
PAIR_SECONDS = 390.0  # of each that models hear


def main() -> None:
    ocean, libri = (manifests.read(path) for path in sys.argv[1:3])
    out = Path(sys.argv[3])
    out.mkdir(parents=True, exist_ok=True)
    root = Path(os.path.commonpath([ocean.root.resolve(), libri.root.resolve()]))
    known = [r for mine in by_speaker(ocean.records) for r in parts(moved(ocean, mine, root), 2, 3)]
    both = [r for r in libri.records if r.speaker in PAIR]
    pair = [
        r for mine in by_speaker(both) for r in shortened(parts(moved(libri, mine, root), 0, 20))
    ]
    others = [r for r in libri.records if r.speaker not in PAIR and r.split != "test"]
    heard = [r for r in (*known, *pair) if r.split == "train"]
    save(out / "train.jsonl", root, [*heard, *moved(libri, others, root)])
    save(out / "speechocean.jsonl", root, known)
    save(out / "librispeech.jsonl", root, pair)
    sexes = (ocean.root / "train" / "spk2gender").read_text().splitlines()
    lines = [line.replace("\t", " ").upper() for line in sexes] + [f"{PAIR[0]} F", f"{PAIR[1]} M"]
    (out / "groups.txt").write_text("\n".join(lines) + "\n")


def by_speaker(records: Sequence[Record]) -> list[list[Record]]:
    """Each speaker's records, in an order that nothing but their ids decides."""
    names = sorted({str(r.speaker) for r in records})
    ordered = sorted(records, key=lambda r: hashlib.sha256(r.id.encode()).digest())
    return [[r for r in ordered if r.speaker == name] for name in names]


def parts(records: Sequence[Record], validation: int, test: int) -> list[Record]:
    """Put the first records into `validation`, the next into `test`, the others into `train`."""
    names = ["validation"] * validation + ["test"] * test
    names += ["train"] * (len(records) - len(names))
    return [r.model_copy(update={"split": n}) for r, n in zip(records, names, strict=True)]


def shortened(records: Sequence[Record]) -> list[Record]:
    """Leave training records out once there are enough."""
    seconds, kept = 0.0, []
    for record in records:
        if record.split == "train" and seconds > PAIR_SECONDS:
            continue
        seconds += record.duration if record.split == "train" else 0.0
        kept.append(record)
    return kept


def moved(source: Manifest, records: Sequence[Record], root: Path) -> list[Record]:
    """Give records paths from another root, and ids that no other corpus has."""
    inside, corpus = source.root.resolve().relative_to(root), source.header["corpus"]

    def change(record: Record) -> Record:
        new = {"path": str(inside / record.path), "id": f"{corpus}-{record.id}"}
        return record.model_copy(update=new)

    return [change(record) for record in records]


def save(path: Path, root: Path, records: Sequence[Record]) -> None:
    manifests.write(path, os.path.relpath(root, path.parent.resolve()), records)
    hours = sum(r.duration for r in records) / 3600
    print(f"{path}: {len(records)} recordings, {hours:.2f} h")


if __name__ == "__main__":
    main()
