"""From what was measured of one system to its report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from audiovq.bottlenecks._base import DiscreteBottleneck
from audiovq.data.manifest import Record
from audiovq.eval import codebook, machine, measure, protocol
from audiovq.eval.codebook import Counts
from audiovq.eval.intervals import bootstrap_mean
from audiovq.eval.measure import INPUT, Measurements, Session
from audiovq.eval.reconstruction import NAMES
from audiovq.eval.result import Report
from audiovq.eval.speaker_similarity import NAME as SPEAKER
from audiovq.eval.systems import ModelSystem
from audiovq.eval.values import METRICS, Value
from audiovq.eval.word_error import NAMES as WORDS
from audiovq.eval.word_error import WEIGHTS as WORD_WEIGHTS

SCORES = (*NAMES, SPEAKER, *WORDS)  # what systems can be compared by, utterance by utterance
SPEEDS = ("encode_rtf", "decode_rtf")
FACTS = ("kl_bitrate", "payload_bitrate", *SPEEDS)
# What a mean over utterances weighs each by; 1 where nothing is named.
WEIGHTS = {**WORD_WEIGHTS, **dict.fromkeys(FACTS, "seconds")}


@dataclass(frozen=True)
class Terms:
    """What all reports of an evaluation share.

    Attributes:
        records: of the utterances chosen.
        split: which; None: all.
        notes: on measures that could not be taken.
        workers: processes that scored.
    """

    records: Sequence[Record]
    split: str | None
    notes: Sequence[str]
    workers: int


def report(
    run: Measurements, session: Session, terms: Terms, train_counts: Counts | None = None
) -> Report:
    """Return the report of one system."""
    seconds = sum(row["seconds"] for row in run.rows)
    speakers = {row["speaker"] for row in run.rows} - {None}
    found = {v.name: v for v in [*_means(run), *_codebook(run, train_counts), *_memory()]}
    judges = {k: v for judge in session.judges for k, v in judge.about.items()}
    manifest = session.manifest
    return Report(
        label=run.system.label,
        model=run.system.about(),
        data={
            "manifest": str(manifest.path),
            "manifest_fingerprint": manifest.fingerprint(),
            "split": terms.split or "all",
            "utterances": len(run.rows),
            "of": len(manifest.select(terms.split)),
            "speakers": len(speakers),
            "hours": seconds / 3600,
        },
        machine=machine.describe(run.system.device) | {"workers": terms.workers},
        protocol=protocol.describe() | {"sample_rate": session.sample_rate} | judges,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        values=[found[name] for name in METRICS if name in found],
        undefined={k: dict(v) for k, v in run.undefined.items()},
        notes=[*_notes(run, session, terms), *terms.notes],
        utterances=run.rows,
        counts=[
            row[:n].tolist()
            for row, n in zip(run.counts.sum(axis=0), run.system.sizes, strict=True)
        ],
        rejected=session.rejected,
    )


def _means(run: Measurements) -> Iterator[Value]:
    """Yield means over utterances; what is per second of audio weighs them by length."""
    groups = run.groups.index[run.kept]
    for name in (*SCORES, *(f"input_{k}" for k in INPUT), *FACTS):
        have = [i for i, row in enumerate(run.rows) if row.get(name) is not None]
        if not have:
            continue
        values = np.array([run.rows[i][name] for i in have])
        weights = np.array([weight(name, run.rows[i]) for i in have])
        speed = name in SPEEDS
        # Which speaker speaks does not matter to speed: every utterance is a measurement.
        units = np.array(have) if speed else groups[have]
        unit = "utterances" if speed else run.groups.unit
        interval = bootstrap_mean(values, units, weights)
        how = f"bootstrap over {len(set(units.tolist()))} {unit}" if interval else ""
        low, high = interval or (None, None)
        yield Value(name, float(np.average(values, weights=weights)), low, high, how, len(have))


def weight(name: str, row: Mapping[str, Any]) -> float:
    """Return what an utterance weighs in the mean of a figure."""
    return float(row[WEIGHTS[name]]) if name in WEIGHTS else 1.0


def _codebook(run: Measurements, train_counts: Counts | None) -> list[Value]:
    system = run.system
    if not isinstance(system, ModelSystem) or system.bitrate is None:
        return []
    bottleneck = system.model.bottleneck
    assert isinstance(bottleneck, DiscreteBottleneck)
    heard = run.counts[run.counts.sum(axis=(1, 2)) > 0]
    return codebook.describe(
        heard,
        system.sizes,
        seconds=sum(row["seconds"] for row in run.rows),
        nominal=system.bitrate,
        unit=run.groups.unit if len(heard) == len(set(run.groups.index[run.kept])) else "blocks",
        train=train_counts,
        books=bottleneck.books[: len(system.sizes)],
    )


def _memory() -> list[Value]:
    peak = machine.peak_memory()
    return [] if peak is None else [Value("peak_memory", peak)]


def _notes(run: Measurements, session: Session, terms: Terms) -> Iterator[str]:
    total = len(session.manifest.select(terms.split))
    if len(terms.records) < total:
        yield f"{len(terms.records)} of {total} utterances, drawn by a hash of their ids"
    unit = run.groups.unit
    yield f"intervals of means and of the codebook are over {unit}" + (
        " (fewer than five speakers are known): what other speakers give may lie outside"
        if unit == "utterances"
        else ""
    )
    if session.rejected:
        first = session.rejected[0]
        yield (
            f"{len(session.rejected)} utterances left out, the first {first['id']}: "
            f"{first['reason']}"
        )
    if session.corrupt is not None:
        done = session.corrupt.config.model_dump(exclude_defaults=True)
        yield f"the model heard corrupted speech ({done}); the target is clean"
    yield from run.system.notes()
    if run.system.sample_rate != session.sample_rate:
        yield f"resampled from {run.system.sample_rate} to {session.sample_rate} Hz to be scored"
    if terms.workers > 1 and any("encode_rtf" in row for row in run.rows):
        yield "real-time factors were taken while other processes scored: they are too high"
    long = sum(row["seconds"] > measure.LONG_SECONDS for row in run.rows)
    if long:
        yield (
            f"{long} utterances over {measure.LONG_SECONDS:.0f} s were streamed: scored in pieces "
            f"of that length, and not timed"
        )
    yield from _undefined(run)


def _undefined(run: Measurements) -> Iterator[str]:
    """Yield a note for each set of reasons, with every measure that it is given for."""
    alike: dict[str, list[str]] = {}
    for name, reasons in run.undefined.items():
        each = "; ".join(f"{n} utterances: {reason}" for reason, n in reasons.items())
        alike.setdefault(each, []).append(METRICS[name].label)
    for each, labels in alike.items():
        verb = "is" if len(labels) == 1 else "are"
        yield f"{', '.join(labels)} {verb} not defined for {each}"
