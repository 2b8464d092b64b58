"""A split of a corpus under stress; goes on where it stopped, and takes more conditions later.

A folder holds `stress.json` (of what the figures are), and in `recordings/` a file for each
recording with its figures under each condition so far.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from audiovq.alone import alone
from audiovq.autoencoder import Autoencoder
from audiovq.data.corruption import fixed_key
from audiovq.data.manifest import Manifest, Record
from audiovq.errors import AudioError, ConfigError
from audiovq.eval import machine, protocol
from audiovq.eval.evaluate import choose, stop_if_too_many
from audiovq.eval.perturb import Setting
from audiovq.eval.pool import Pool
from audiovq.eval.reconstruction import available
from audiovq.files import atomic_write, remove_stale
from audiovq.prior import TrainedPrior
from audiovq.stress import keep
from audiovq.stress.babble import Babble
from audiovq.stress.bench import MEASURES, Bench, check_prior
from audiovq.stress.conditions import Condition, doable
from audiovq.stress.inputs import Scene
from audiovq.stress.measure import Recording, Row

LONGEST = 30.0  # seconds of a recording that are used
MAX_REJECTED = 0.01
_AT_ONCE = 32  # conditions between two writes


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was measured.

    Attributes:
        conditions: in order.
        rows: of each recording, by condition.
        recordings: id, speaker and seconds of each.
        about: model, data, machine and protocol, as plain values.
        notes: what a reader of the figures must know.
    """

    conditions: Sequence[Condition]
    rows: Sequence[Mapping[str, Row]]
    recordings: Sequence[Mapping[str, Any]]
    about: Mapping[str, Any]
    notes: Sequence[str] = field(default_factory=tuple)


@torch.no_grad()
def stress(
    model: Autoencoder,
    manifest: Manifest,
    folder: Path,
    conditions: Sequence[Condition],
    *,
    prior: TrainedPrior | None = None,
    split: str | None = "test",
    max_utterances: int | None = None,
    seed: int = 0,
    workers: int = 0,
    progress: bool = True,
) -> Found:
    """Measure recordings under each condition, or what is left of it.

    Args:
        model: any autoencoder, in eval mode; a continuous one is held against changes of the
            sound only.
        manifest: the corpus; other speakers of it, of any split, make the babble.
        folder: what has been measured is kept in; made if missing.
        conditions: of `conditions.choose`.
        prior: of the model's codes, for what takes one.
        split: None: all records.
        max_utterances: drawn by a hash of their ids, so that more may follow; None: all.
        seed: of all draws, each of which depends on the recording's id beside it.
        workers: processes that score; see `eval.pool.Pool`.
        progress: show a bar on stderr.

    Raises:
        ConfigError: nothing is left of the conditions, the prior does not fit, or the folder
            holds figures of something else.
        AudioError: too many recordings cannot be read.
    """
    if prior is not None:
        check_prior(model, prior)
    chosen, notes = doable(conditions, discrete=model.is_discrete, prior=prior is not None)
    if not chosen:
        raise ConfigError(f"no condition is left: {'; '.join(notes)}")
    measures, missing = available(MEASURES)
    records = choose(manifest, split, max_utterances)
    about = keep.terms(model, manifest, prior, split=split, seed=seed, measures=measures)
    (folder / "recordings").mkdir(parents=True, exist_ok=True)
    with alone(folder, "stressing a model in"), Pool(model.sample_rate, measures, workers) as pool:
        remove_stale(folder / "recordings")
        keep.open_folder(folder, about)
        work = _Work(folder, manifest, Babble(manifest), Bench(model, prior, pool, seed))
        kept, rejected = work.through(records, chosen, progress=progress)
    if not kept:
        raise AudioError(f"none of the {len(records)} recordings of {manifest.path} can be read")
    facts = _facts(model, manifest, kept, rejected)
    cut = sum(r.duration > LONGEST for r in records)
    more = [f"of {cut} longer recordings the first {LONGEST:g} s are used"] if cut else []
    return Found(
        conditions=chosen,
        rows=[each["conditions"] for each in kept],
        recordings=[{k: each[k] for k in ("id", "speaker", "seconds")} for each in kept],
        about={**about, **facts},
        notes=[*notes, *missing, *more],
    )


@dataclass(frozen=True)
class _Work:
    """Takes recordings through conditions, and keeps what was found."""

    folder: Path
    manifest: Manifest
    babble: Babble
    bench: Bench

    def through(
        self, records: Sequence[Record], conditions: Sequence[Condition], *, progress: bool
    ) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
        """Return what is kept of each recording, and the ids and reasons of unreadable ones."""
        kept: list[dict[str, Any]] = []
        rejected: list[dict[str, str]] = []
        for record in tqdm(records, unit="recording", disable=not progress):
            try:
                kept.append(self._one(record, conditions))
            except AudioError as error:
                rejected.append({"id": record.id, "reason": str(error)})
                stop_if_too_many(rejected, len(records), MAX_REJECTED)
        return kept, rejected

    def _one(self, record: Record, conditions: Sequence[Condition]) -> dict[str, Any]:
        """Return the figures of a recording: those kept, and what they lack."""
        path = self.folder / "recordings" / f"{_hash(record.id)[:16]}.json"
        before = keep.read(path) if path.is_file() else {"conditions": {}}
        left = [c for c in conditions if c.name not in before["conditions"]]
        if not left:
            return before
        model, seed = self.bench.model, self.bench.seed
        most = min(record.num_samples, round(LONGEST * record.sample_rate))
        x = self.manifest.load(record, model.sample_rate, num_samples=most)
        scene = Scene(
            x,
            Setting(model.sample_rate, model.hop_length, fixed_key(f"{seed} {record.id}")),
            lambda: self.babble(record, model.sample_rate, x.shape[-1], seed),
        )
        recording = Recording(self.bench, record.id, scene)
        found: dict[str, Any] = {
            "id": record.id,
            "speaker": record.speaker,
            "seconds": x.shape[-1] / model.sample_rate,
            "conditions": dict(before["conditions"]),
        }
        for start in range(0, len(left), _AT_ONCE):
            found["conditions"] |= recording.rows(left[start : start + _AT_ONCE])
            atomic_write(path, json.dumps(found, allow_nan=False) + "\n")
        return found


def _facts(
    model: Autoencoder,
    manifest: Manifest,
    kept: Sequence[Mapping[str, Any]],
    rejected: Sequence[Mapping[str, str]],
) -> dict[str, Any]:
    speakers = {each["speaker"] for each in kept} - {None}
    return {
        "data": {
            "corpus": manifest.header.get("corpus", ""),
            "recordings": len(kept),
            "speakers": len(speakers),
            "seconds": sum(each["seconds"] for each in kept),
        },
        "rejected": list(rejected),
        "machine": machine.describe(next(model.parameters()).device),
        "protocol": protocol.describe(),
    }


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
