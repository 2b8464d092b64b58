"""From a folder of speech to a manifest: every file decoded once, every bad one named."""

import glob
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from tqdm import tqdm

from audiovq import audio, config, registry
from audiovq.data import manifest as manifests
from audiovq.data import statistics
from audiovq.data.corpora._base import Corpus, Utterance
from audiovq.data.download import download
from audiovq.data.manifest import SPLITS, Record
from audiovq.data.splits import assign
from audiovq.errors import AudioError, ConfigError, ManifestError
from audiovq.files import STALE_MARK, atomic_write


@dataclass(frozen=True)
class PrepareReport:
    """What preparing a corpus found.

    Attributes:
        utterances, hours, speakers: per split.
        statuses: utterances (mostly files) that are ok, repaired and rejected.
        duplicates: those among them, kept, whose audio has another id, too.
        problems: id, path, status and reason of everything that is not ok, or is a duplicate.
        note: about the splits; "" when they are disjoint by speaker.
        statistics: length, level, clipping and pauses; see `audiovq.data.statistics`.
    """

    manifest: str
    utterances: dict[str, int]
    hours: dict[str, float]
    speakers: dict[str, int]
    statuses: dict[str, int]
    duplicates: int
    problems: list[dict[str, str]]
    note: str
    statistics: dict[str, Any]

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
    fetch: Sequence[str] = (),
    only_check: bool = False,
    progress: bool = True,
) -> PrepareReport:
    """Check every file of a corpus and write its manifest.

    Args:
        corpus: a name from `audiovq ls corpora`, or a dotted plug-in name.
        root: the corpus's folder.
        out: the manifest to write; `OUT.rejected.jsonl` beside it names every file that is not
            ok, and is written even when the manifest is not. `OUT.stats.json` and `OUT.stats.png`
            hold length, level, clipping and pauses.
        options: `key=value` settings of the corpus.
        max_rejected: share of files that may be rejected, in [0, 1].
        fetch: archives of the corpus to download into `root` first, such as `dev-clean`.
        only_check: write the listing and the statistics, and no manifest; any number of files may
            be rejected.
        progress: show a bar on stderr.

    Raises:
        ManifestError: nothing found, duplicate ids, too many files rejected, or `out` cannot be
            written.
    """
    root, out = Path(root), Path(out)
    if not 0.0 <= max_rejected <= 1.0:
        raise ConfigError(f"--max-rejected is a share from 0 to 1; {max_rejected:g} given")
    if not out.parent.is_dir() or out.is_dir():
        what = "it is a folder" if out.is_dir() else f"there is no folder {out.parent}"
        raise ManifestError(f"cannot write {out}: {what}")
    source = make_corpus(corpus, options)
    download(source.archives, fetch, root, progress=progress)
    source.obtain(root, progress=progress)
    if not root.is_dir():
        raise ManifestError(f"{root} is not a folder")
    utterances = list(source.utterances(root))
    _refuse_duplicates(utterances)
    found = _check_all(root, utterances, progress=progress)
    listing = out.with_name(f"{out.name}.rejected.jsonl")
    _write_listing(listing, found.problems)
    share = 1.0 if only_check else max_rejected
    _refuse_many(found.statuses["rejected"], utterances, share, listing)
    records, note = assign(found.records)
    relative = os.path.relpath(root.resolve(), out.resolve().parent)
    if not only_check:
        manifests.write(out, relative, records, corpus=corpus, note=note)
    figures = statistics.write(out, statistics.gather(records, found.levels))
    return _report(out, records, found, note, figures)


def make_corpus(name: str, options: Sequence[str] = ()) -> Corpus:
    """Return the corpus of that name with `key=value` options; the user typed both."""
    with registry.plugins(None):
        found = registry.get("corpora", name)
        values = config.override({"name": name}, options)
        corpus: Corpus = found.cls(config.parse(found.config, values, f"corpus {name}"))
    return corpus


@dataclass(frozen=True)
class _Found:
    """What the files of a corpus turned out to be."""

    records: list[Record] = field(default_factory=list)
    problems: list[dict[str, str]] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=lambda: Counter(ok=0, repaired=0, rejected=0))
    levels: list[audio.Levels] = field(default_factory=list)  # of every file that is used
    first_with: dict[str, str] = field(default_factory=dict)  # digest of the audio -> id

    def add(self, utterance: Utterance, verdict: audio.Verdict) -> None:
        status, reason = verdict.status, verdict.reason
        if verdict.info is not None and status != "rejected":
            try:
                self.records.append(utterance.record(verdict.info, verdict.num_samples))
            except ValidationError as error:  # such as a name that is not UTF-8
                status, reason = "rejected", error.errors()[0]["msg"]
            except AudioError as error:  # a part that the file does not have
                status, reason = "rejected", str(error)
        self.statuses[status] += 1
        if status != "ok":
            self._note(utterance, status, reason)
        if status != "rejected" and verdict.digest:  # none where decoding broke off
            part = f"{verdict.digest} {utterance.span} {utterance.channel}"
            first = self.first_with.setdefault(part, utterance.id)
            if first != utterance.id:
                self._note(utterance, "duplicate", f"the same audio as {first}; kept")

    def _note(self, utterance: Utterance, status: str, reason: str) -> None:
        about = {"id": utterance.id, "path": utterance.path}
        self.problems.append({**about, "status": status, "reason": reason})


def _check_all(root: Path, utterances: Sequence[Utterance], *, progress: bool) -> _Found:
    """Decode everything, in parallel (soundfile releases the interpreter while decoding).

    A file is decoded once, however many utterances are parts of it.
    """
    found = _Found()
    of_file: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        of_file.setdefault(utterance.path, []).append(utterance)
    with _pool() as pool:
        verdicts = pool.map(lambda path: audio.check(root / path), of_file)
        bar = tqdm(
            zip(of_file.values(), verdicts, strict=True),
            total=len(of_file),
            desc="checking audio",
            unit="file",
            disable=not progress,
        )
        for parts, verdict in bar:
            before = len(found.records)
            for utterance in parts:
                found.add(utterance, verdict)
            if verdict.levels is not None and len(found.records) > before:
                found.levels.append(verdict.levels)
    return found


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    """Give a pool that Ctrl-C ends at once, not after all that waits in it."""
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _write_listing(path: Path, problems: Sequence[dict[str, str]]) -> None:
    for stale in path.parent.glob(f"{glob.escape(path.name)}{STALE_MARK}*"):
        stale.unlink(missing_ok=True)  # of a run that was killed
    try:  # in ASCII, since the names in it may not be UTF-8
        atomic_write(path, "".join(json.dumps(p) + "\n" for p in problems))
    except OSError as error:
        raise ManifestError(f"cannot write {path}: {error.strerror}") from None


def _refuse_many(
    rejected: int, utterances: Sequence[Utterance], most: float, listing: Path
) -> None:
    total = len(utterances)
    what = "files" if len({u.path for u in utterances}) == total else "utterances"
    told = f"{rejected} of {total} {what} are rejected"
    if rejected == total:
        raise ManifestError(f"{told}, all there are (listed in {listing})")
    if rejected > most * total:
        share = math.ceil(rejected / total * 100) / 100
        raise ManifestError(
            f"{told}, more than {most:.2%} (listed in {listing}); mend or remove them, or allow "
            f"it with --max-rejected {share:.2f}"
        )


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
    out: Path, records: Sequence[Record], found: _Found, note: str, figures: dict[str, Any]
) -> PrepareReport:
    by_split = {s: [r for r in records if r.split == s] for s in SPLITS}
    return PrepareReport(
        manifest=str(out),
        utterances={s: len(rs) for s, rs in by_split.items()},
        hours={s: sum(r.duration for r in rs) / 3600 for s, rs in by_split.items()},
        speakers={s: len({r.speaker for r in rs if r.speaker}) for s, rs in by_split.items()},
        statuses=dict(found.statuses),
        duplicates=sum(p["status"] == "duplicate" for p in found.problems),
        problems=found.problems,
        note=note,
        statistics=figures,
    )
