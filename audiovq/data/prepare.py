"""From a folder of speech to a manifest: every file decoded once, every bad one named."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from audiovq import audio, config, registry
from audiovq.data import manifest as manifests
from audiovq.data.corpora._base import Corpus, Utterance
from audiovq.data.manifest import SPLITS, Record
from audiovq.data.splits import assign
from audiovq.errors import ManifestError
from audiovq.files import atomic_write


@dataclass(frozen=True)
class PrepareReport:
    """What preparing a corpus found.

    Attributes:
        utterances, hours, speakers: per split.
        statuses: files that are ok, repaired and rejected.
        problems: path, status and reason of every file that is not ok.
        note: about the splits; "" when they are disjoint by speaker.
    """

    manifest: str
    utterances: dict[str, int]
    hours: dict[str, float]
    speakers: dict[str, int]
    statuses: dict[str, int]
    problems: list[dict[str, str]]
    note: str

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return asdict(self)


def prepare(
    corpus: str,
    root: str | Path,
    out: str | Path,
    options: Sequence[str] = (),
    *,
    max_rejected: float = 0.01,
    progress: bool = True,
) -> PrepareReport:
    """Check every file of a corpus and write its manifest.

    Args:
        corpus: a name from `audiovq ls corpora`, or a dotted plug-in name.
        root: the corpus's folder.
        out: the manifest to write; `OUT.rejected.jsonl` beside it names every file that is not
            ok, and is written even when the manifest is not.
        options: `key=value` settings of the corpus.
        max_rejected: share of files that may be rejected, in [0, 1].
        progress: show a bar on stderr.

    Raises:
        ManifestError: nothing found, duplicate ids, or too many files rejected.
    """
    root, out = Path(root), Path(out)
    if not out.parent.is_dir():
        raise ManifestError(f"cannot write {out}: there is no folder {out.parent}")
    source = make_corpus(corpus, options)
    source.obtain(root)
    if not root.is_dir():
        raise ManifestError(f"{root} is not a folder")
    utterances = list(source.utterances(root))
    _refuse_duplicates(utterances)
    records, problems, statuses = _check_all(root, utterances, progress=progress)
    listing = out.with_name(f"{out.name}.rejected.jsonl")
    atomic_write(listing, "".join(json.dumps(p, ensure_ascii=False) + "\n" for p in problems))
    rejected = statuses["rejected"]
    if not records or rejected > max_rejected * len(utterances):
        raise ManifestError(
            f"{rejected} of {len(utterances)} files are rejected (listed in {listing}); mend or "
            f"remove them, or allow more with --max-rejected {rejected / len(utterances):.2f}"
        )
    records, note = assign(records)
    relative = os.path.relpath(root.resolve(), out.resolve().parent)
    manifests.write(out, relative, records, corpus=corpus, note=note)
    return _report(out, records, problems, statuses, note)


def make_corpus(name: str, options: Sequence[str] = ()) -> Corpus:
    """Return the corpus of that name with `key=value` options; the user typed both."""
    with registry.plugins(None):
        found = registry.get("corpora", name)
        values = config.override({"name": name}, options)
        corpus: Corpus = found.cls(config.parse(found.config, values, f"corpus {name}"))
    return corpus


def _check_all(
    root: Path, utterances: Sequence[Utterance], *, progress: bool
) -> tuple[list[Record], list[dict[str, str]], Counter[str]]:
    """Decode everything, in parallel (soundfile releases the interpreter while decoding)."""
    records: list[Record] = []
    problems: list[dict[str, str]] = []
    statuses: Counter[str] = Counter(ok=0, repaired=0, rejected=0)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        verdicts = pool.map(lambda u: audio.check(root / u.path), utterances)
        bar = tqdm(
            zip(utterances, verdicts, strict=True),
            total=len(utterances),
            desc="checking audio",
            unit="file",
            disable=not progress,
        )
        for utterance, verdict in bar:
            statuses[verdict.status] += 1
            if verdict.status != "ok":
                about = {"status": verdict.status, "reason": verdict.reason}
                problems.append({"id": utterance.id, "path": utterance.path, **about})
            if verdict.status != "rejected" and verdict.info is not None:
                records.append(utterance.record(verdict.info, verdict.num_samples))
    return records, problems, statuses


def _refuse_duplicates(utterances: Sequence[Utterance]) -> None:
    counts = Counter(u.id for u in utterances)
    twice = [name for name, n in counts.items() if n > 1]
    if twice:
        paths = [u.path for u in utterances if u.id == twice[0]]
        raise ManifestError(
            f"{len(twice)} ids are used twice, as {twice[0]!r} by {paths[0]!r} and {paths[1]!r}; "
            f"prepare the parts of the corpus one by one"
        )


def _report(
    out: Path,
    records: Sequence[Record],
    problems: list[dict[str, str]],
    statuses: Counter[str],
    note: str,
) -> PrepareReport:
    by_split = {s: [r for r in records if r.split == s] for s in SPLITS}
    return PrepareReport(
        manifest=str(out),
        utterances={s: len(rs) for s, rs in by_split.items()},
        hours={s: sum(r.duration for r in rs) / 3600 for s, rs in by_split.items()},
        speakers={s: len({r.speaker for r in rs if r.speaker}) for s, rs in by_split.items()},
        statuses=dict(statuses),
        problems=problems,
        note=note,
    )
