"""The contract of every corpus."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from audiovq import audio
from audiovq.data.manifest import Record, Split
from audiovq.errors import ManifestError


@dataclass(frozen=True)
class Utterance:
    """What a corpus knows about a file before anyone has opened it.

    Attributes:
        path: relative to the corpus's root.
        alignment: tiers of [start, end) in samples of the file, and label.
    """

    id: str
    path: str
    speaker: str | None = None
    split: Split | None = None
    language: str | None = None
    text: str | None = None
    alignment: dict[str, tuple[tuple[int, int, str], ...]] | None = field(default=None)

    def record(self, info: audio.AudioInfo, num_samples: int) -> Record:
        """Return the manifest record, given what the file turned out to hold."""
        alignment = self.alignment
        if alignment is not None:  # some label files end a sample or two past the audio
            alignment = {
                tier: tuple((s, min(e, num_samples), n) for s, e, n in rows if s < num_samples)
                for tier, rows in alignment.items()
            }
        return Record(
            id=self.id,
            path=self.path,
            sample_rate=info.sample_rate,
            num_samples=num_samples,
            speaker=self.speaker,
            split=self.split,
            language=self.language,
            text=self.text,
            alignment=alignment,
        )


class Corpus(ABC):
    """Base of every corpus: finds utterances in a folder as its publishers lay it out.

    A corpus is built from its `Config` alone: `SomeCorpus(config)`.
    """

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
