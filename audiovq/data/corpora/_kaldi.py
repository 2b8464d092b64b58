"""Kaldi's data directories: `wav.scp`, and `segments`, `utt2spk` and `text` beside."""

import math
from collections.abc import Iterator
from pathlib import Path

from audiovq.data.corpora._base import Utterance, inside, lines, short
from audiovq.data.manifest import Split
from audiovq.errors import ManifestError


def utterances(
    root: Path, folder: Path, *, split: Split | None = None, language: str | None = None
) -> Iterator[Utterance]:
    """Yield what a data directory lists, in the order of its lists.

    Args:
        root: what paths in wav.scp are relative to.
        folder: the data directory.
        split: of all its utterances.
        language: of all its utterances.

    Raises:
        ManifestError: no wav.scp, a broken line, an utterance without speaker though utt2spk is
            there, a recording that is a command, or a path outside the root.
    """
    if not (folder / "wav.scp").is_file():
        raise ManifestError(f"no wav.scp in {folder}; is it a data directory of Kaldi?")
    paths = {name: _path(root, rest, at) for name, (rest, at) in _table(folder / "wav.scp").items()}
    speakers, texts = _optional(folder / "utt2spk"), _optional(folder / "text")
    for name, recording, span, channel, where in _parts(folder, paths):
        if speakers and name not in speakers:
            raise ManifestError(f"{where}: {short(name)} has no speaker in {folder / 'utt2spk'}")
        yield Utterance(
            id=name,
            path=paths[recording],
            speaker=speakers.get(name),
            split=split,
            language=language,
            text=texts.get(name),
            span=span,
            channel=channel,
        )


_Part = tuple[str, str, tuple[float, float | None] | None, int | None, str]


def _parts(folder: Path, recordings: dict[str, str]) -> Iterator[_Part]:
    """Yield utterance, recording, span, channel, and where that is said."""
    path = folder / "segments"
    if not path.is_file():
        yield from ((name, name, None, None, str(folder / "wav.scp")) for name in recordings)
        return
    for name, (rest, where) in _table(path).items():
        recording, *numbers = rest.split()
        if recording not in recordings:
            raise ManifestError(f"{where}: {short(recording)} is not in {folder / 'wav.scp'}")
        yield name, recording, *_span(numbers, f"{where}: {short(f'{name} {rest}')}"), where


def _span(numbers: list[str], what: str) -> tuple[tuple[float, float | None], int | None]:
    """Read `start end [channel]`, in seconds; an end of -1 is the recording's."""
    try:
        start, end = (float(n) for n in numbers[:2])
        (channel,) = (int(n) for n in numbers[2:]) if numbers[2:] else (None,)
    except ValueError:
        start = end = math.nan
        channel = None
    last = None if end == -1 else end
    if not 0 <= start < math.inf or not (last is None or start < last < math.inf):
        raise ManifestError(f"{what} is not `utterance recording start end` in seconds")
    return (start, last), channel


def _path(root: Path, entry: str, where: str) -> str:
    """Return a recording's path; a command is never run, whoever wrote it."""
    if entry.endswith("|") or entry.startswith("|") or entry == "-":
        raise ManifestError(
            f"{where}: {short(entry)} is a command, which is never run; convert the recordings to "
            f"files first (wav-copy scp:wav.scp ...)"
        )
    return inside(root, entry, where)


def _optional(path: Path) -> dict[str, str]:
    return {k: rest for k, (rest, _) in _table(path).items()} if path.is_file() else {}


def _table(path: Path) -> dict[str, tuple[str, str]]:
    """Read lines of `key rest`; return rest, and where it was."""
    rows: dict[str, tuple[str, str]] = {}
    for where, line in lines(path):
        key, *rest = line.strip().split(maxsplit=1)
        if key in rows:
            raise ManifestError(f"{where}: {short(key)} was there before ({rows[key][1]})")
        if not rest and path.name != "text":  # an utterance may be empty, nothing else
            raise ManifestError(f"{where}: nothing behind {short(key)}")
        rows[key] = (rest[0] if rest else "", where)
    return rows
