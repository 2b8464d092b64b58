"""Units in memory, for tests of what reads them: the same interface, no files."""

from pathlib import Path

import torch

from audiovq.files import sha256
from audiovq.units import store
from audiovq.units.metadata import Metadata, Shard, write_metadata
from audiovq.units.reading import Units
from audiovq.units.record import UnitRecord

HOP, RATE = 100, 1000

STRANGE_IDS = ["a b", "c/d.e", "f\ng", "ß中ع", "..", "h\u2028i\x85", "%2E", "__x__", "j\tk", " l "]


class MadeUnits(Units):
    """Units of given records."""

    def __init__(self, records, metadata):
        super().__init__(Path("made"), metadata)
        self.records = {r.id: r for r in records}
        assert len(self.records) == len(records)

    def __len__(self):
        return len(self.records)

    def __iter__(self):
        return iter(self.records.values())

    def __getitem__(self, utterance):
        return self.records[utterance]

    def __contains__(self, utterance):
        return utterance in self.records

    def ids(self):
        return list(self.records)

    def select(self, split):
        return (r for r in self if split is None or r.split == split)


def metadata(sizes):
    """What `units.json` would say."""
    return Metadata(
        model_hash="0" * 64,
        sample_rate=RATE,
        hop_length=HOP,
        codebook_sizes=tuple(sizes),
        layout=tuple(f"level {k}" for k in range(len(sizes))),
        manifest_hash="1" * 64,
        records_per_shard=1,
        software={"audiovq": "test"},
        complete=True,
    )


def record(name, codes, **about):
    """An utterance with those rows of codes, whose last frame is partly filled."""
    codes = torch.tensor(codes, dtype=torch.int64)
    return UnitRecord(id=name, codes=codes, num_samples=codes.shape[1] * HOP - 3, **about)


def repetitive(rng, size, frames):
    """Codes that often repeat the last one, or go round a short cycle."""
    codes, now = [], rng.randrange(size)
    while len(codes) < frames:
        now = (now + 1) % size if rng.random() < 0.8 else rng.randrange(size)
        codes += [now] * rng.choice([1, 1, 2, 3])
    return codes[:frames]


def made_units(rng, sizes=(16, 8), ids=None, frames=(1, 60)):
    """Units of a few utterances in all splits."""
    records = []
    for i, name in enumerate(ids or [f"u{n}" for n in range(12)]):
        length = rng.randint(*frames)
        records.append(
            record(
                name,
                [repetitive(rng, n, length) for n in sizes],
                speaker=f"s{i % 3}" if i % 4 else None,
                split=("train", "train", "validation", "test")[i % 4],
                text=f"words\n{i}" if i % 3 else None,
            )
        )
    return MadeUnits(records, metadata(sizes))


def write(folder, records, about):
    """Write units of given records as `audiovq extract` would, in one shard of lines."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "shard-000000.jsonl"
    path.write_bytes(store.dump(records, about))
    shard = Shard(file=path.name, records=len(records), sha256=sha256(path))
    write_metadata(folder, about.model_copy(update={"shards": (shard,)}))
    return folder
