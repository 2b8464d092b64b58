"""Evaluate systems on a split: every figure, its interval, and one row per utterance."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from tqdm import tqdm

from audiovq.autoencoder import Autoencoder
from audiovq.data import manifest as manifests
from audiovq.data.corruption import Corruption, CorruptionConfig
from audiovq.data.manifest import Manifest, Record
from audiovq.errors import AudioError, ConfigError, ManifestError
from audiovq.eval import summary
from audiovq.eval.codebook import Counts
from audiovq.eval.comparison import Comparison, Sounds
from audiovq.eval.intervals import group
from audiovq.eval.measure import Measurements, Session
from audiovq.eval.plugged import Judge
from audiovq.eval.pool import Pool
from audiovq.eval.reconstruction import available
from audiovq.eval.result import Report
from audiovq.eval.systems import ModelSystem, System
from audiovq.eval.values import METRICS

# What each figure means, for help: name -> (unit, one sentence).
DEFINITIONS = {name: (m.unit, m.definition) for name, m in METRICS.items()}

EXAMPLE_SECONDS = 12.0  # utterances to listen to are preferably no longer


def evaluate(  # noqa: D417  (the others are described below)
    model: Autoencoder,
    manifest: Manifest | str | Path,
    *,
    split: str | None = "test",
    metrics: Sequence[str] | None = None,
    max_utterances: int | None = None,
    max_rejected: float = 0.01,
    train_counts: Counts | None = None,
    corruption: CorruptionConfig | None = None,
    judges: Sequence[Judge] = (),
    workers: int = 0,
    progress: bool = True,
) -> Report:
    """Evaluate one model; arguments as in `evaluate_systems`.

    Args:
        model: any autoencoder; a continuous one gets no codebook figures.
    """
    return evaluate_systems(
        [ModelSystem(model, model.config.bottleneck.name)],
        manifest,
        split=split,
        metrics=metrics,
        max_utterances=max_utterances,
        max_rejected=max_rejected,
        train_counts=train_counts,
        corruption=corruption,
        judges=judges,
        workers=workers,
        progress=progress,
    ).reports[0]


@torch.no_grad()
def evaluate_systems(
    systems: Sequence[System],
    manifest: Manifest | str | Path,
    *,
    split: str | None = "test",
    metrics: Sequence[str] | None = None,
    max_utterances: int | None = None,
    max_rejected: float = 0.01,
    train_counts: Counts | None = None,
    corruption: CorruptionConfig | None = None,
    judges: Sequence[Judge] = (),
    workers: int = 0,
    examples: int = 0,
    progress: bool = True,
) -> Comparison:
    """Pass the same utterances through every system, one at a time, in bounded memory.

    Scores are taken at the first system's sample rate; the output of a system at another rate is
    resampled to it (soxr, HQ). Nothing is aligned in time or level.

    Args:
        systems: models, prefixes of models, anchors; the first is what others are compared to.
        manifest: the corpus, or the path of its manifest.
        split: `train`, `validation` or `test`; None: all records.
        metrics: measures to compute, of `reconstruction.NAMES`; None: `STANDARD`, which is all
            but those of pitch. Those whose package is missing are left out with a note.
        max_utterances: evaluate this many, drawn by a hash of their ids; None: all.
        max_rejected: share of unreadable utterances that is put up with.
        train_counts: counts (K, N) of the first system's codes on training data, for the coded
            bitrate.
        corruption: what is done to the input, alike for every system; the target stays clean.
        judges: models of the user that score too.
        workers: processes to score in; 0 or 1: this one. More are spawned, so a script must be
            guarded by `if __name__ == "__main__"`.
        examples: keep the sound of so many utterances.
        progress: show a progress bar on stderr.

    Raises:
        ManifestError: the split has no records.
        AudioError: too many utterances cannot be read.
        ConfigError: a measure is unknown, two systems share a label, or systems of several rates
            were to hear corrupted speech.
    """
    if not isinstance(manifest, Manifest):
        manifest = manifests.read(manifest)
    names, notes = available(metrics)
    _check(systems, corruption)
    records = choose(manifest, split, max_utterances)
    groups, rate = group([r.speaker for r in records]), systems[0].sample_rate
    runs = [Measurements(system, groups) for system in systems]
    noisy = None if corruption is None else Corruption(corruption, rate)
    with ExitStack() as stack:
        for system in systems:
            stack.enter_context(_evaluation_mode(system))
        pool = stack.enter_context(Pool(rate, names, workers))
        session = Session(manifest, runs, pool, judges, noisy, _examples(records, examples))
        for index, record in enumerate(tqdm(records, unit="utt", disable=not progress)):
            try:
                session.add(index, record)
            except AudioError as error:
                session.rejected.append({"id": record.id, "reason": str(error)})
                stop_if_too_many(session.rejected, len(records), max_rejected)
        session.finish()
    if not runs[0].rows:
        raise AudioError(f"none of the {len(records)} utterances of {manifest.path} can be read")
    terms = summary.Terms(records, split, notes, workers)
    reports = [
        summary.report(run, session, terms, None if i else train_counts)
        for i, run in enumerate(runs)
    ]
    return Comparison(reports, _sounds(session))


def _check(systems: Sequence[System], corruption: CorruptionConfig | None) -> None:
    labels = Counter(s.label for s in systems)
    if twice := [label for label, n in labels.items() if n > 1]:
        raise ConfigError(f"two systems are called {twice[0]!r}; name each differently")
    rates = {s.sample_rate for s in systems}
    if corruption is not None and len(rates) > 1:
        raise ConfigError(
            f"systems at {sorted(rates)} Hz cannot hear the same noise; evaluate each by itself"
        )


def _examples(records: Sequence[Record], number: int) -> frozenset[str]:
    """Return ids of utterances to listen to: drawn by hash, of different speakers, not long."""
    order = sorted(records, key=lambda r: _hash(r.id))
    short = [r for r in order if r.duration <= EXAMPLE_SECONDS] or order
    first = list({r.speaker or r.id: r for r in reversed(short)}.values())[::-1]
    rest = [r for r in short if r not in first]
    return frozenset(r.id for r in [*first, *rest][:number])


def _sounds(session: Session) -> Sounds:
    labels = [m.system.label for m in session.measurements]
    return {
        name: {"original": x, **dict(zip(labels, x_hats, strict=True))}
        for name, (x, *x_hats) in session.sounds.items()
    }


def choose(manifest: Manifest, split: str | None, number: int | None) -> list[Record]:
    """Return so many records of a split, drawn by a hash of their ids; all for None.

    Raises:
        ConfigError: fewer than one is asked for.
        ManifestError: the split has no records.
    """
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
    order = sorted(range(len(records)), key=lambda i: _hash(records[i].id))
    return [records[i] for i in sorted(order[:number])]


def stop_if_too_many(rejected: Sequence[dict[str, str]], total: int, share: float) -> None:
    """Refuse to go on where more than a share of the utterances cannot be read.

    Raises:
        AudioError: so it is.
    """
    if len(rejected) > share * total:
        raise AudioError(
            f"{len(rejected)} of {total} utterances cannot be read, over the {share:.1%} put up "
            f"with; the last: {rejected[-1]['reason']}; repair the corpus and prepare it again, "
            f"or raise max_rejected"
        )


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


@contextmanager
def _evaluation_mode(system: System) -> Iterator[None]:
    if not isinstance(system, ModelSystem):
        yield
        return
    model = system.model
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
