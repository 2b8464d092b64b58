"""The contract of every corpus."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import ClassVar

from audiovq import audio
from audiovq.data.download import Archive
from audiovq.data.manifest import Record, Split
from audiovq.errors import AudioError, ManifestError

# Seconds by which lists of segments may pass the end of a file, as Kaldi's extract-segments allows.
_OVERSHOOT = 0.5
_SHOWN = 80  # characters of a broken line, in an error


@dataclass(frozen=True)
class Utterance:
    """What a corpus knows about a file, or a part of one, before anyone has opened it.

    Attributes:
        path: relative to the corpus's root.
        alignment: tiers of [start, end) in samples of the file, and label.
        span: the part of the file, [start, end) in seconds, since the rate is not known yet;
            an end of None is the file's.
        channel: the one to take, from 0; None for the mean of all.
    """

    id: str
    path: str
    speaker: str | None = None
    split: Split | None = None
    language: str | None = None
    text: str | None = None
    alignment: dict[str, tuple[tuple[int, int, str], ...]] | None = field(default=None)
    span: tuple[float, float | None] | None = None
    channel: int | None = None

    def record(self, info: audio.AudioInfo, num_samples: int) -> Record:
        """Return the manifest record, given what the file turned out to hold.

        Raises:
            AudioError: the span or the channel is not in the file.
        """
        start, end = self._bounds(info, num_samples)
        alignment = self.alignment
        if alignment is not None:  # some label files end a sample or two past the audio
            alignment = {
                tier: tuple(
                    (max(s, start) - start, min(e, end) - start, name)
                    for s, e, name in rows
                    if s < end and e > start
                )
                for tier, rows in alignment.items()
            }
        return Record(
            id=self.id,
            path=self.path,
            sample_rate=info.sample_rate,
            num_samples=end - start,
            start=start,
            channel=self.channel,
            speaker=self.speaker,
            split=self.split,
            language=self.language,
            text=self.text,
            alignment=alignment,
        )

    def _bounds(self, info: audio.AudioInfo, num_samples: int) -> tuple[int, int]:
        """Return the first sample and the one behind the last."""
        if self.channel is not None and self.channel >= info.channels:
            raise AudioError(f"has {info.channels} channel(s), no channel {self.channel}")
        if self.span is None:
            return 0, num_samples
        first, last = self.span
        start = round(first * info.sample_rate)
        end = num_samples if last is None else round(last * info.sample_rate)
        if start >= min(end, num_samples) or end > num_samples + _OVERSHOOT * info.sample_rate:
            ends = "its end" if last is None else f"{last:g} s"
            held = num_samples / info.sample_rate
            raise AudioError(f"lasts {held:.3f} s; {first:g} s to {ends} is not in it")
        return start, min(end, num_samples)


class Corpus(ABC):
    """Base of every corpus: finds utterances in a folder as its publishers lay it out.

    A corpus is built from its `Config` alone: `SomeCorpus(config)`.
    """

    single_speaker: ClassVar[bool] = False  # all of it is one voice, as published
    archives: ClassVar[Mapping[str, Archive]] = {}  # what --download offers, by name

    def obtain(self, root: Path, *, progress: bool = True) -> None:  # noqa: B027
        """Make what is not there yet, for corpora that can; most are there or are not."""

    @abstractmethod
    def utterances(self, root: Path) -> Iterator[Utterance]:
        """Yield what is under `root`, in a fixed order, without opening audio.

        Raises:
            ManifestError: nothing under `root` looks like this corpus, or a label file is broken.
        """

    @abstractmethod
    def fake(self, root: Path) -> None:
        """Write a small look-alike of the corpus, with made-up speech, for tests."""


AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")


def all_files(root: Path) -> list[Path]:
    """Return every file below a folder, sorted, but hidden ones.

    Links to folders are followed, since corpora are often linked together; a folder that was seen
    is not entered again, so a circle of links ends.
    """
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        facts = Path(folder).stat()
        if (facts.st_dev, facts.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((facts.st_dev, facts.st_ino))
        subfolders[:] = sorted(n for n in subfolders if n[0] != ".")
        found += [Path(folder, n) for n in names if n[0] != "."]
    return sorted(found)


def audio_files(root: Path) -> list[Path]:
    """Return all audio files below a folder, by their suffixes; see `all_files`."""
    return [p for p in all_files(root) if p.suffix.lower() in AUDIO_SUFFIXES]


def read_text(path: Path) -> str:
    """Return a small text file; what is not UTF-8 in it becomes a replacement character.

    Raises:
        ManifestError: the file cannot be read.
    """
    try:
        return path.read_text("utf-8-sig", "replace")
    except OSError as error:
        raise ManifestError(f"cannot read {path}: {error.strerror}") from None


def lines(path: Path) -> Iterator[tuple[str, str]]:
    r"""Yield where a line is, for an error, and the line, for every line that is not blank.

    Lines end in \n or \r\n alone: transcripts hold characters at which `splitlines` would break.

    Raises:
        ManifestError: the file cannot be read.
    """
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            yield f"{path}, line {number}", line.removesuffix("\r")


def short(text: str) -> str:
    """Return what a list says, quoted for an error: on one line, and not all of a long one."""
    return repr(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}...")


def inside(root: Path, name: str, where: str) -> str:
    """Return a path that a corpus's list names, relative to the root.

    Args:
        root: the corpus's folder.
        name: relative to the root, or absolute and below it.
        where: of the list, for the error.

    Raises:
        ManifestError: the path leaves the root; a list must not reach for other files.
    """
    path = PurePosixPath(name)
    for base in (root.absolute(), root.resolve()):
        if path.is_relative_to(base.as_posix()):
            path = path.relative_to(base.as_posix())
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise ManifestError(
            f"{where}: path {short(name)} is not below {root}, the folder given as ROOT"
        )
    return path.as_posix()
