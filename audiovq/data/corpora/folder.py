"""Any folder of audio files."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import Field

from audiovq import audio
from audiovq.config import ComponentConfig
from audiovq.data.corpora import _fake
from audiovq.data.corpora._base import AUDIO_SUFFIXES, Corpus, Utterance, all_files, read_text
from audiovq.errors import ManifestError


class Config(ComponentConfig):
    """Settings of a plain folder."""

    speaker: Literal["folder", "parent", "none"] = Field(
        "folder",
        description="what names the speaker: `folder`, the first folder below the root; `parent`, "
        "the folder that the file lies in; `none`, nothing",
    )
    language: str | None = Field(None, description="BCP 47 tag of all files, such as en or de-CH")


class Folder(Corpus):
    """Every wav, flac, ogg and mp3 file below a folder, and in uncompressed tars below it.

    `name.txt` beside `name.wav` is its text. Hidden files are left out.
    """

    def __init__(self, config: Config) -> None:
        self.config = config

    def utterances(self, root: Path) -> Iterator[Utterance]:
        """Yield every audio file; its id is its path without the suffix, where that is unique."""
        paths = [p for file in all_files(root) for p in _audio_in(file, root)]
        if not paths:
            raise ManifestError(f"no wav, flac, ogg or mp3 file below {root}")
        stems = Counter(str(p.with_suffix("")) for p in paths)
        for path in paths:
            stem = str(path.with_suffix(""))
            text = root / path.with_suffix(".txt")
            yield Utterance(
                id=stem if stems[stem] == 1 else str(path),
                path=str(path),
                speaker=self._speaker(path),
                language=self.config.language,
                text=read_text(text).strip() if text.is_file() else None,
            )

    def fake(self, root: Path) -> None:
        """Write six speakers of two files each."""
        for s in range(6):
            for u in range(2):
                _fake.write(root / f"speaker{s}" / f"{u}.wav", 1.5, 10 * s + u)

    def _speaker(self, path: PurePosixPath) -> str | None:
        if self.config.speaker == "none" or len(path.parts) == 1:
            return None
        return path.parts[0] if self.config.speaker == "folder" else path.parts[-2]


def _audio_in(file: Path, root: Path) -> list[PurePosixPath]:
    """Return the file itself, or what it holds if it is a tar, relative to the root."""
    relative = PurePosixPath(file.relative_to(root).as_posix())
    if file.suffix == ".tar":
        return [relative / name for name in sorted(audio.tar_members(file)) if _is_audio(name)]
    return [relative] if _is_audio(file.name) else []


def _is_audio(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in AUDIO_SUFFIXES
