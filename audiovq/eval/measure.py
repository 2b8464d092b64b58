"""Passing utterances through systems, one at a time: scores, codes and times."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch.nn import functional as F

from audiovq import audio
from audiovq.data.corruption import Corruption, fixed_key
from audiovq.data.manifest import Manifest, Record
from audiovq.errors import AudioError
from audiovq.eval.codebook import Counts
from audiovq.eval.intervals import Groups
from audiovq.eval.plugged import Judge, Verdict
from audiovq.eval.pool import Pool, Scores
from audiovq.eval.systems import Rendering, System, Wave

LONG_SECONDS = 60.0  # longer utterances are streamed, and scored in pieces of this length

# Measures that are also taken of corrupted input, to see what the model gains.
INPUT = ("log_mel_distance", "si_sdr", "stoi")

_AHEAD = 2  # utterances waiting to be scored, per worker


@dataclass
class Measurements:
    """What is gathered of one system while the utterances go by.

    Attributes:
        rows: one per utterance: id, speaker, seconds, measures (None: not defined), facts.
        kept: index of each row's record.
        undefined: by measure, how many utterances have no value for which reason.
        counts: how often each code occurred, per block of groups (G, K, largest N).
    """

    system: System
    groups: Groups
    rows: list[dict[str, Any]] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    undefined: dict[str, Counter[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sizes = self.system.sizes
        shape = (int(self.groups.blocks.max()) + 1, len(sizes), max(sizes, default=0))
        self.counts = np.zeros(shape, np.int64)

    def add(
        self,
        index: int,
        record: Record,
        scores: Mapping[str, float | str],
        facts: Mapping[str, Any],
        counts: Counts | None,
    ) -> None:
        """Keep what one utterance gave."""
        row: dict[str, Any] = {
            "id": record.id,
            "speaker": record.speaker,
            "seconds": record.duration,
        }
        if counts is not None:
            self.counts[self.groups.blocks[index]] += counts
        for name, score in scores.items():
            if isinstance(score, str):
                self.undefined.setdefault(name, Counter())[score] += 1
            row[name] = None if isinstance(score, str) else score
        self.rows.append(row | dict(facts))
        self.kept.append(index)


@dataclass
class _Waiting:
    """An utterance that is being scored."""

    index: int
    record: Record
    renderings: Sequence[Rendering]
    verdicts: Sequence[Sequence[Verdict]]  # per judge, per system
    scores: "Future[list[Scores]]"


@dataclass
class Session:
    """An evaluation in progress: the same utterances through every system.

    Attributes:
        measurements: one per system; the first one's rate is that of all scores.
        pool: what scores.
        judges: models of the user that score too, in this process.
        corrupt: what is done to what the systems hear; the target stays clean.
        keep: ids of utterances whose sound is kept.
        sounds: by id, the original and each system's reconstruction, in order.
        rejected: id and reason of each utterance that could not be read.
    """

    manifest: Manifest
    measurements: Sequence[Measurements]
    pool: Pool
    judges: Sequence[Judge] = ()
    corrupt: Corruption | None = None
    keep: frozenset[str] = frozenset()
    sounds: dict[str, list[Wave]] = field(default_factory=dict)
    rejected: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sample_rate = self.measurements[0].system.sample_rate
        self._waiting: deque[_Waiting] = deque()

    def add(self, index: int, record: Record) -> None:
        """Pass one utterance through every system; its scores may come later.

        Raises:
            AudioError: it cannot be read.
        """
        if record.duration > LONG_SECONDS:
            if self.corrupt is not None:
                raise AudioError(
                    f"{record.id} is over {LONG_SECONDS:.0f} s, too long to be corrupted"
                )
            self._add_long(index, record)
            return
        x = self.manifest.load(record, self.sample_rate)
        heard = x if self.corrupt is None else self.corrupt(x.cpu(), fixed_key(record.id))
        found = [self._render(m.system, record, x, heard) for m in self.measurements]
        x_hats = [r.x_hat for r in found]
        if record.id in self.keep:
            self.sounds[record.id] = [x, *x_hats]
        verdicts = [judge(record, x, x_hats, self.sample_rate) for judge in self.judges]
        extra = [] if self.corrupt is None else [heard]
        scores = self.pool.submit(x, [*x_hats, *extra])
        self._waiting.append(_Waiting(index, record, found, verdicts, scores))
        while len(self._waiting) > _AHEAD * self.pool.workers:
            self._take()

    def finish(self) -> None:
        """Wait for the scores that are still to come."""
        while self._waiting:
            self._take()

    def _render(self, system: System, record: Record, x: Wave, heard: Wave) -> Rendering:
        """Return an utterance through a system, at the rate of the scores."""
        if system.sample_rate == self.sample_rate:
            return system.render(x, heard, record.id)
        other = self.manifest.load(record, system.sample_rate)
        return self._at_our_rate(system, system.render(other, other, record.id), x)

    def _at_our_rate(self, system: System, found: Rendering, x: Wave) -> Rendering:
        y = audio.resample(found.x_hat, system.sample_rate, self.sample_rate)
        y = F.pad(y[..., : x.shape[-1]], (0, max(0, x.shape[-1] - y.shape[-1])))
        return Rendering(x, y, found.facts, found.counts)

    def _take(self) -> None:
        """Keep the oldest utterance that waits."""
        job = self._waiting.popleft()
        scores = job.scores.result()
        heard = scores[len(self.measurements)] if self.corrupt is not None else {}
        given = {f"input_{k}": v for k, v in heard.items() if k in INPUT}
        for i, (m, r) in enumerate(zip(self.measurements, job.renderings, strict=True)):
            verdicts = [each[i] for each in job.verdicts]
            all_scores = scores[i] | given
            facts = dict(r.facts)
            for verdict in verdicts:
                all_scores |= dict(verdict.scores)
                facts |= dict(verdict.facts)
            m.add(job.index, job.record, all_scores, facts, r.counts)

    def _add_long(self, index: int, record: Record) -> None:
        """Stream an utterance through each system, and average its pieces' scores by length."""
        self.finish()
        found = [self._streamed(m.system, record) for m in self.measurements]
        refused: Scores = {}
        for judge in self.judges:
            refused |= dict(judge.refuse(f"over {LONG_SECONDS:.0f} s").scores)
        for m, (scores, counts) in zip(self.measurements, found, strict=True):
            m.add(index, record, scores | refused, {}, counts)

    def _streamed(self, system: System, record: Record) -> tuple[Scores, Counts | None]:
        pieces: list[tuple[int, Scores]] = []
        counts: Counts | None = None
        for r in self._pieces(system, record):
            pieces.append((r.x.shape[-1], self.pool.submit(r.x, [r.x_hat]).result()[0]))
            if r.counts is not None:
                counts = r.counts if counts is None else counts + r.counts
        return {name: _mean([(n, s[name]) for n, s in pieces]) for name in pieces[0][1]}, counts

    def _pieces(self, system: System, record: Record) -> Iterator[Rendering]:
        rate = system.sample_rate
        size = round(LONG_SECONDS * rate)
        for r in system.stream(lambda: self.manifest.blocks(record, rate), size, record.id):
            if rate == self.sample_rate:
                yield r
            else:
                x = audio.resample(r.x, rate, self.sample_rate)
                yield self._at_our_rate(system, r, x)


def _mean(pieces: Sequence[tuple[int, float | str]]) -> float | str:
    """Return the mean of pieces weighted by length, or the first reason if none has a value."""
    defined = [(n, s) for n, s in pieces if not isinstance(s, str)]
    if not defined:
        return pieces[0][1]
    return sum(n * s for n, s in defined) / sum(n for n, _ in defined)
