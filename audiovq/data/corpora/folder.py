"""Any folder of audio files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from audiovq.config import ComponentConfig
from audiovq.data.corpora import _fake
from audiovq.data.corpora._base import Corpus, Utterance, audio_files
from audiovq.errors import ManifestError


class Config(ComponentConfig):
    """Settings of a plain folder."""

    speaker: Literal["folder", "none"] = Field(
        "folder", description="the first folder below the root names the speaker, or nothing does"
    )
    language: str | None = Field(None, description="BCP 47 tag of all files")


class Folder(Corpus):
    """Every wav, flac, ogg and mp3 file below a folder; `name.txt` beside a file is its text."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def utterances(self, root: Path) -> Iterator[Utterance]:
        """Yield every audio file; its id is its path without the suffix."""
        files = audio_files(root)
        if not files:
            raise ManifestError(f"no wav, flac, ogg or mp3 file below {root}")
        stems = [p.relative_to(root).with_suffix("").as_posix() for p in files]
        for path, stem in zip(files, stems, strict=True):
            relative = path.relative_to(root)
            nested = len(relative.parts) > 1 and self.config.speaker == "folder"
            text = path.with_suffix(".txt")
            yield Utterance(
                id=relative.as_posix() if stems.count(stem) > 1 else stem,
                path=relative.as_posix(),
                speaker=relative.parts[0] if nested else None,
                language=self.config.language,
                text=text.read_text("utf-8", "replace").strip() if text.is_file() else None,
            )

    def fake(self, root: Path) -> None:
        """Write six speakers of two files each."""
        for s in range(6):
            for u in range(2):
                _fake.write(root / f"speaker{s}" / f"{u}.wav", 1.5, 10 * s + u)
