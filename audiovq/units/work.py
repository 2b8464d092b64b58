"""The shards of one extraction: taken up, made, and gathered, by one process or several."""

import hashlib
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from audiovq import distributed
from audiovq.alone import can_lock, if_alone
from audiovq.data.manifest import Manifest, Record
from audiovq.errors import AudioError, CheckpointError, DistributedError, ManifestError
from audiovq.files import atomic_write, remove_stale
from audiovq.units import parts, store
from audiovq.units.coder import Coder
from audiovq.units.finished import is_whole, vectors_are_whole
from audiovq.units.metadata import VECTORS, Metadata, Shard, read_metadata, write_metadata
from audiovq.units.pipeline import Outcome, Pipeline, batches
from audiovq.units.record import UnitRecord
from audiovq.units.rejected import Rejected
from audiovq.units.shards import Plan

_FREE = {"software", "request", "made_from", "complete", "shards", "rejected", "vectors_sha256"}
# seconds without any sign of the other processes, after which they are given up; of other machines
# a finished shard is the only sign where locks do not reach, and a shard may take long
_WAIT, _WAIT_MACHINES = 300.0, 7200.0
_PAUSE = 0.25


class Work:
    """The shards of one extraction, and what is known of them.

    Args:
        out: the units folder.
        metadata: of this extraction.
        parts: the plan of shards.
        rejected: recordings that give no codes.
    """

    def __init__(self, out: Path, metadata: Metadata, parts: Plan, rejected: Rejected) -> None:
        self.out, self.metadata, self.parts, self.rejected = out, metadata, parts, rejected

    def take_up(self, coder: Coder) -> None:
        """Compare with what is in the folder, which must be of the same extraction, or begin."""
        found = read_metadata(self.out)
        if found is None:
            write_metadata(self.out, self._with_vectors(coder))
            return
        _compare(self.out, found, self.metadata)
        wanted = self.metadata
        self.metadata = found
        if not vectors_are_whole(self.out, found):
            self._with_vectors(coder)
        whole = tuple(s for s in found.shards if s.file in self.parts and is_whole(self.out, s))
        # finished shards that were damaged are made again: complete only once all are there
        complete = found.complete and len(whole) == len(self.parts)
        if not complete:
            _compare_versions(self.out, found, wanted)
        update = {"shards": whole, "complete": complete, "request": wanted.request}
        self.metadata = found.model_copy(update=update)
        if self.metadata != found:
            write_metadata(self.out, self.metadata)

    def _with_vectors(self, coder: Coder) -> Metadata:
        vectors = coder.vectors()
        if vectors is not None:
            data = BytesIO()
            np.save(data, vectors.numpy(), allow_pickle=False)
            atomic_write(self.out / VECTORS, data.getvalue())
            update = {"vectors_sha256": hashlib.sha256(data.getvalue()).hexdigest()}
            self.metadata = self.metadata.model_copy(update=update)
        return self.metadata

    def _done(self, notes: Mapping[str, parts.Done]) -> dict[str, Shard]:
        """Return the finished shards: those gathered, and those noted beside them."""
        noted = {f: s for f, s in notes.items() if f in self.parts}
        return {s.file: s for s in self.metadata.shards} | noted

    def do(
        self,
        coder: Coder,
        manifest: Manifest,
        rank: int,
        size: int,
        *,
        exact: bool,
        threads: int,
        progress: bool,
    ) -> None:
        """Make every shard of this process's share that is not there."""
        if self.metadata.complete:
            return
        mine = list(self.parts)[rank::size]
        notes = parts.read(self.out)
        # what was gathered was looked at when it was taken up
        there = {s.file for s in self.metadata.shards} - notes.keys()
        there |= {f for f, s in notes.items() if f in self.parts and is_whole(self.out, s)}
        self.rejected.take_up(notes, {r.id for f in there for r in self.parts[f]})
        todo = [name for name in mine if name not in there]
        seconds = {name: sum(r.duration for r in self.parts[name]) for name in mine}
        bar: tqdm[Any] = tqdm(
            total=sum(seconds.values()),
            initial=sum(s for name, s in seconds.items() if name not in todo),
            desc="extracting",
            unit=" s of audio",
            bar_format="{desc}: {percentage:3.0f}% of {total:.0f} s [{elapsed}<{remaining}, "
            "{rate_noinv_fmt}]",
            disable=not progress,
        )
        pipeline = Pipeline(coder, manifest, exact=exact, threads=threads)
        with bar, pipeline:
            for name, outcomes in _shards(pipeline, self.parts, todo, coder.sample_rate, bar):
                self._write(name, outcomes, coder.sample_rate)

    def _write(self, name: str, outcomes: Sequence[Outcome], sample_rate: int) -> None:
        """Write a shard, then the note that it is there."""
        records: list[UnitRecord] = []
        bad: dict[str, str] = {}
        for record, outcome in zip(self.parts[name], outcomes, strict=True):
            if isinstance(outcome, AudioError):
                bad[record.id] = str(outcome)
            else:
                records.append(_unit(record, outcome, sample_rate))
        self.rejected.add(bad)
        data = store.dump(records, self.metadata)
        atomic_write(self.out / name, data)
        digest = hashlib.sha256(data).hexdigest()
        parts.note(
            self.out, parts.Done(file=name, records=len(records), sha256=digest, rejected=bad)
        )

    def gather(self) -> bool:
        """Gather the notes into `units.json` if every shard is there; return whether it is."""
        found = read_metadata(self.out)
        assert found is not None
        self.metadata = found
        if found.complete:
            parts.clear(self.out, self.parts)
            return True
        notes = parts.read(self.out)
        done = self._done(notes)
        if done.keys() != self.parts.keys():
            return False
        listed = {s.file for s in found.shards} - notes.keys()
        self.rejected.take_up(notes, {r.id for f in listed for r in self.parts[f]})
        if too_many := self.rejected.too_many():
            # a shard without its note is made again, once the recordings are mended
            parts.clear(self.out, [f for f, n in notes.items() if n.rejected])
            raise ManifestError(too_many)
        self.rejected.write()
        update = {
            "complete": True,
            "rejected": len(self.rejected),
            "shards": tuple(
                Shard(file=s.file, records=s.records, sha256=s.sha256)
                for s in (done[name] for name in self.parts)
            ),
        }
        write_metadata(self.out, self.metadata.model_copy(update=update))
        parts.clear(self.out, self.parts)
        return True

    def gather_when_all_are_done(self) -> None:
        """Wait for the other processes, then gather, or find it done.

        Raises:
            DistributedError: nobody is at work any more, and shards are missing.
        """
        one = distributed.one_machine()
        wait = _WAIT if one else _WAIT_MACHINES
        seen, since = -1, time.monotonic()
        while True:
            with if_alone(self.out) as nobody_else:
                if nobody_else and self.gather():
                    if one and can_lock(self.out):
                        remove_stale(self.out)  # of a process that was killed
                    return
            noted = len(parts.pending(self.out))
            if noted != seen or not nobody_else:
                seen, since = noted, time.monotonic()
            if time.monotonic() - since > wait:
                missing = len(self.parts.keys() - self._done(parts.read(self.out)).keys())
                raise DistributedError(
                    f"{missing} of {len(self.parts)} shards are missing in {self.out}, and no "
                    f"other process is at work there: give the same command again"
                )
            time.sleep(_PAUSE)


def _shards(
    pipeline: Pipeline, plan_: Plan, todo: Sequence[str], sample_rate: int, bar: "tqdm[Any]"
) -> Iterator[tuple[str, list[Outcome]]]:
    """Yield each shard's outcomes, in order, batches of the next ones being under way."""
    outcomes: dict[str, dict[int, Outcome]] = {name: {} for name in todo}
    under_way: deque[tuple[str, list[int], Future[list[Outcome]]]] = deque()

    def settle() -> Iterator[tuple[str, list[Outcome]]]:
        name, rows, future = under_way.popleft()
        outcomes[name].update(zip(rows, future.result(), strict=True))
        heard = sum(plan_[name][i].duration for i in rows)
        bar.update(heard)
        if len(outcomes[name]) == len(plan_[name]):
            found = outcomes.pop(name)
            yield name, [found[i] for i in range(len(found))]

    for name in todo:
        records = plan_[name]
        for rows in batches(records, sample_rate):
            under_way.append((name, rows, pipeline.submit([records[i] for i in rows])))
            if len(under_way) > pipeline.capacity:
                yield from settle()
    while under_way:
        yield from settle()


def _unit(record: Record, codes: torch.Tensor, sample_rate: int) -> UnitRecord:
    return UnitRecord(
        id=record.id,
        codes=codes,
        num_samples=record.samples_at(sample_rate),
        speaker=record.speaker,
        split=record.split,
        text=record.text,
    )


def _compare(out: Path, found: Metadata, wanted: Metadata) -> None:
    """Refuse to go on with units of another extraction.

    Raises:
        CheckpointError: says what differs.
    """
    old, new = found.model_dump(exclude=_FREE), wanted.model_dump(exclude=_FREE)
    changed = [k for k in new if old[k] != new[k]]
    if changed:
        raise CheckpointError(
            f"{out} holds units of another extraction ({', '.join(changed)} differ): choose "
            f"another folder"
        )


def _compare_versions(out: Path, found: Metadata, wanted: Metadata) -> None:
    """Refuse to go on with other versions, which may round otherwise.

    Raises:
        CheckpointError: says which.
    """
    names = ("audiovq", "torch", "pyarrow", "soundfile", "soxr")
    versions = [(n, found.software.get(n), wanted.software.get(n)) for n in names]
    other = [f"{n} {a} (now {b})" for n, a, b in versions if a != b]
    if other:
        raise CheckpointError(
            f"{out} was begun with {', '.join(other)}: finish it with that, or choose another "
            f"folder"
        )
