"""Evaluate a model on a split: every figure, its interval, and one row per utterance."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from audiovq.autoencoder import Autoencoder
from audiovq.bottlenecks._base import DiscreteBottleneck
from audiovq.data import manifest as manifests
from audiovq.data.corruption import Corruption, CorruptionConfig
from audiovq.data.manifest import Manifest, Record
from audiovq.errors import AudioError, ConfigError, ManifestError
from audiovq.eval import codebook, machine
from audiovq.eval.codebook import Counts
from audiovq.eval.intervals import bootstrap_mean, group
from audiovq.eval.measure import INPUT, LONG_SECONDS, Measurements
from audiovq.eval.reconstruction import NAMES, Scorer, available
from audiovq.eval.result import Report
from audiovq.eval.values import METRICS, Value

# What each figure means, for help: name -> (unit, one sentence).
DEFINITIONS = {name: (m.unit, m.definition) for name, m in METRICS.items()}


@torch.no_grad()
def evaluate(
    model: Autoencoder,
    manifest: Manifest | str | Path,
    *,
    split: str | None = "test",
    metrics: Sequence[str] | None = None,
    max_utterances: int | None = None,
    max_rejected: float = 0.01,
    train_counts: Counts | None = None,
    corruption: CorruptionConfig | None = None,
    progress: bool = True,
) -> Report:
    """Evaluate a model on a split, one utterance at a time, in bounded memory.

    Args:
        model: any autoencoder; a continuous one gets no codebook figures.
        manifest: the corpus, or the path of its manifest.
        split: `train`, `validation` or `test`; None: all records.
        metrics: reconstruction measures to compute; None: all that are installed.
        max_utterances: evaluate this many, drawn by a hash of their ids; None: all.
        max_rejected: share of unreadable utterances that is put up with.
        train_counts: counts (K, N) of codes on training data, for the coded bitrate.
        corruption: what is done to the input, alike for every model; the target stays clean.
        progress: show a progress bar on stderr.

    Raises:
        ManifestError: the split has no records.
        AudioError: too many utterances cannot be read.
        ConfigError: a measure is unknown.
    """
    if not isinstance(manifest, Manifest):
        manifest = manifests.read(manifest)
    names, notes = available(metrics)
    records = _choose(manifest, split, max_utterances)
    groups = group([r.speaker for r in records])
    noisy = None if corruption is None else Corruption(corruption, model.sample_rate)
    run = Measurements(model, manifest, Scorer(model.sample_rate, names), groups, noisy)
    with _evaluation_mode(model):
        for index, record in enumerate(tqdm(records, unit="utt", disable=not progress)):
            try:
                run.add(index, record)
            except AudioError as error:
                run.rejected.append({"id": record.id, "reason": str(error)})
                _stop_if_too_many(run.rejected, len(records), max_rejected)
    if not run.rows:
        raise AudioError(f"none of the {len(records)} utterances of {manifest.path} can be read")
    return _report(run, records, split, notes, train_counts)


def _report(
    run: Measurements,
    records: Sequence[Record],
    split: str | None,
    notes: list[str],
    train_counts: Counts | None,
) -> Report:
    model = run.model
    hours = sum(row["seconds"] for row in run.rows) / 3600
    speakers = {row["speaker"] for row in run.rows} - {None}
    found = {v.name: v for v in [*_means(run), *_codebook(run, train_counts), *_memory()]}
    return Report(
        model={
            "fingerprint": model.fingerprint(),
            "bottleneck": model.config.bottleneck.name,
            "sample_rate": model.sample_rate,
            "hop_length": model.hop_length,
            "frame_rate": model.frame_rate,
            "codebook_sizes": list(model.codebook_sizes),
            "num_parameters": model.num_parameters,
        },
        data={
            "manifest": str(run.manifest.path),
            "manifest_fingerprint": run.manifest.fingerprint(),
            "split": split or "all",
            "utterances": len(run.rows),
            "of": len(run.manifest.select(split)),
            "speakers": len(speakers),
            "hours": hours,
        },
        machine=machine.describe(run.device),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        values=[found[name] for name in METRICS if name in found],
        undefined={k: dict(v) for k, v in run.undefined.items()},
        notes=[*_notes(run, records, split), *notes],
        utterances=run.rows,
        counts=[
            row[:n].tolist()
            for row, n in zip(run.counts.sum(axis=0), model.codebook_sizes, strict=True)
        ],
        rejected=run.rejected,
    )


def _means(run: Measurements) -> Iterator[Value]:
    """Yield means over utterances; what is per second of audio weighs them by length."""
    groups = run.groups.index[run.kept]
    for name in (*NAMES, *(f"input_{k}" for k in INPUT), "kl_bitrate", "encode_rtf", "decode_rtf"):
        have = [i for i, row in enumerate(run.rows) if row.get(name) is not None]
        if not have:
            continue
        values = np.array([run.rows[i][name] for i in have])
        speed = name.endswith("_rtf")
        per_second = speed or name == "kl_bitrate"
        weights = np.array([run.rows[i]["seconds"] if per_second else 1.0 for i in have])
        # Which speaker speaks does not matter to speed: every utterance is a measurement.
        units = np.array(have) if speed else groups[have]
        unit = "utterances" if speed else run.groups.unit
        interval = bootstrap_mean(values, units, weights)
        how = f"bootstrap over {len(set(units.tolist()))} {unit}" if interval else ""
        low, high = interval or (None, None)
        yield Value(name, float(np.average(values, weights=weights)), low, high, how, len(have))


def _codebook(run: Measurements, train_counts: Counts | None) -> list[Value]:
    bitrate, bottleneck = run.model.bitrate, run.model.bottleneck
    if bitrate is None or not isinstance(bottleneck, DiscreteBottleneck):
        return []
    heard = run.counts[run.counts.sum(axis=(1, 2)) > 0]
    return codebook.describe(
        heard,
        run.model.codebook_sizes,
        seconds=sum(row["seconds"] for row in run.rows),
        nominal=bitrate,
        unit=run.groups.unit if len(heard) == len(set(run.groups.index[run.kept])) else "blocks",
        train=train_counts,
        books=bottleneck.books,
    )


def _memory() -> list[Value]:
    peak = machine.peak_memory()
    return [] if peak is None else [Value("peak_memory", peak)]


def _notes(run: Measurements, records: Sequence[Record], split: str | None) -> Iterator[str]:
    total = len(run.manifest.select(split))
    if len(records) < total:
        yield f"{len(records)} of {total} utterances, drawn by a hash of their ids"
    unit = run.groups.unit
    yield f"intervals of means and of the codebook are over {unit}" + (
        " (fewer than five speakers are known): what other speakers give may lie outside"
        if unit == "utterances"
        else ""
    )
    if run.rejected:
        first = run.rejected[0]
        yield f"{len(run.rejected)} utterances left out, the first {first['id']}: {first['reason']}"
    if run.corrupt is not None:
        done = run.corrupt.config.model_dump(exclude_defaults=True)
        yield f"the model heard corrupted speech ({done}); the target is clean"
    if run.model.bottleneck.has_rate:
        yield (
            "reconstructions are of samples of the posterior, which the KL rate pays for; resynth "
            "and embed use its mean"
        )
    long = sum("encode_rtf" not in row for row in run.rows)
    if long:
        yield (
            f"{long} utterances over {LONG_SECONDS:.0f} s were streamed: scored in pieces of that "
            f"length, and not timed"
        )
    for name, reasons in run.undefined.items():
        each = "; ".join(f"{n} utterances: {reason}" for reason, n in reasons.items())
        yield f"{METRICS[name].label} is not defined for {each}"


def _choose(manifest: Manifest, split: str | None, number: int | None) -> list[Record]:
    if number is not None and number < 1:
        raise ConfigError(f"max_utterances={number}; at least 1 is needed, or None for all")
    records = manifest.select(split)
    if not records:
        raise ManifestError(
            f"{manifest.path} has no records in the split {split!r}; it has "
            f"{dict(Counter(str(r.split) for r in manifest.records))}"
        )
    if number is None or number >= len(records):
        return records
    order = sorted(
        range(len(records)), key=lambda i: hashlib.sha256(records[i].id.encode()).digest()
    )
    return [records[i] for i in sorted(order[:number])]


def _stop_if_too_many(rejected: Sequence[dict[str, str]], total: int, share: float) -> None:
    if len(rejected) > share * total:
        raise AudioError(
            f"{len(rejected)} of {total} utterances cannot be read, over the {share:.1%} put up "
            f"with; the last: {rejected[-1]['reason']}; repair the corpus and prepare it again, "
            f"or raise max_rejected"
        )


@contextmanager
def _evaluation_mode(model: Autoencoder) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
