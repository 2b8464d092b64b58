"""The contract of every corpus."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from audiovq import audio
from audiovq.data.manifest import Record, Split


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
    """Base of every corpus: finds utterances in a folder as its publishers lay it out."""

    def obtain(self, root: Path) -> None:  # noqa: B027  (most corpora are already there)
        """Make what is not there yet, for corpora that can."""

    @abstractmethod
    def utterances(self, root: Path) -> Iterator[Utterance]:
        """Yield what is under `root`, in a fixed order, without opening audio.

        Raises:
            ManifestError: nothing under `root` looks like this corpus.
        """

    @abstractmethod
    def fake(self, root: Path) -> None:
        """Write a small look-alike of the corpus, with made-up speech, for tests."""


AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")


def audio_files(root: Path) -> list[Path]:
    """Return all audio files below a folder, sorted, links to folders not followed."""
    return sorted(p for p in root.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES and p.is_file())
