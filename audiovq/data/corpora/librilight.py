"""Libri-Light (Kahn et al. 2020): up to 60,000 hours of audio books, cut where they pause."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from audiovq.config import ComponentConfig
from audiovq.data.corpora import _fake
from audiovq.data.corpora._base import Corpus, Utterance, all_files, read_text
from audiovq.data.download import Archive
from audiovq.errors import ManifestError

_MD5 = {  # as published with the corpus
    "small": "c49207eb86a8e8ac895561c37232041e",
    "medium": "c75e7ac62471bfbf2db77528d62a9b74",
    "large": "4dfbac018f50b99797ece101fc9f0c30",
}


class Config(ComponentConfig):
    """Settings of Libri-Light."""

    segment_seconds: float = Field(
        60.0, ge=1, le=3600, description="join neighbouring stretches of voice up to that (s)"
    )
    max_pause_seconds: float = Field(
        1.0, ge=0, le=60, description="cut at pauses longer than that (s)"
    )
    whole_files: bool = Field(False, description="take every file whole, pauses and all")


class LibriLight(Corpus):
    """`<set>/<speaker>/<book>/<chapter>.flac` with `<chapter>.json` beside.

    The JSON holds `speaker` and, where its authors ran their detector, `voice_activity`: [start,
    end] in seconds. Each utterance is a part of a file, from the start of one stretch of voice to
    the end of another, as `start` and `num_samples` of its record say; the files stay as they
    are. Unlike the cutting script of the authors nothing is glued together: pauses of up to
    `max_pause_seconds` stay inside, longer ones fall between two utterances, so that codes are
    those of sound that was really heard. A stretch longer than `segment_seconds` stays whole.
    Files without voice activity, or without JSON, are one utterance each: training draws its
    excerpts anywhere in a recording, and everything else reads it in blocks.

    There is no text, and no list of splits: the common rule holds.
    """

    archives: ClassVar[Mapping[str, Archive]] = {
        name: Archive(f"https://dl.fbaipublicfiles.com/librilight/data/{name}.tar", f"md5:{digest}")
        for name, digest in _MD5.items()
    }

    def __init__(self, config: Config) -> None:
        self.config = config

    def utterances(self, root: Path) -> Iterator[Utterance]:
        """Yield the parts of every file, in order."""
        by_name: dict[Path, set[str]] = {}
        for path in all_files(root):
            if path.suffix in {".flac", ".json"}:
                by_name.setdefault(path.with_suffix(""), set()).add(path.suffix)
        # A lone .json of a chapter is told as a missing file; others, such as an index, are not.
        found = {p: s for p, s in by_name.items() if ".flac" in s or _is_chapter(p)}
        if not any(".flac" in suffixes for suffixes in found.values()):
            raise ManifestError(f"no .flac below {root}; is it Libri-Light's folder?")
        for stem, suffixes in found.items():
            about = _about(stem) if ".json" in suffixes else {}
            yield from self._parts(root, stem, about)

    def fake(self, root: Path) -> None:
        """Write six speakers of one file each, the last without voice activity."""
        for s in range(6):
            stem = root / "small" / str(100 + s) / "a_book_0812_librivox" / f"01_book_{s}"
            _fake.write(stem.with_suffix(".flac"), 4.0, 10 * s)
            about: dict[str, Any] = {"speaker": str(100 + s), "snr": 9.5}
            if s < 5:
                about["voice_activity"] = [[0.1, 0.9], [1.0, 1.8], [3.1, 3.9]]
            stem.with_suffix(".json").write_text(json.dumps(about))

    def _parts(self, root: Path, stem: Path, about: dict[str, Any]) -> Iterator[Utterance]:
        path = stem.relative_to(root)
        name = "/".join(path.parts[-3:])  # the same whether ROOT is a set or the folder of sets
        speaker = about.get("speaker", path.parts[-3] if len(path.parts) > 2 else None)
        voice = [] if self.config.whole_files else about.get("voice_activity", [])
        spans = self._joined(voice)
        for number, span in enumerate(spans or [None]):
            yield Utterance(
                id=f"{name}-{number:04d}" if span else name,
                path=f"{path.as_posix()}.flac",
                speaker=None if speaker is None else str(speaker),
                language="en",
                span=span,
            )

    def _joined(self, voice: list[tuple[float, float]]) -> list[tuple[float, float]]:
        """Join neighbours that are close, up to the length asked for."""
        spans: list[tuple[float, float]] = []
        for start, end in voice:
            near = spans and start - spans[-1][1] <= self.config.max_pause_seconds
            if near and end - spans[-1][0] <= self.config.segment_seconds:
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((start, end))
        return spans


def _is_chapter(stem: Path) -> bool:
    return "voice_activity" in read_text(stem.with_name(f"{stem.name}.json"))


def _about(stem: Path) -> dict[str, Any]:
    """Read the JSON beside a file; its stretches must be in order."""
    path = stem.with_name(f"{stem.name}.json")
    try:
        about: dict[str, Any] = dict(json.loads(read_text(path)))
        about["voice_activity"] = [(float(s), float(e)) for s, e in about.get("voice_activity", [])]
    except (ValueError, TypeError, RecursionError) as error:
        raise ManifestError(f"{path} is not a chapter of Libri-Light: {error}") from None
    times = [t for stretch in about["voice_activity"] for t in stretch]
    if times != sorted(times) or not all(0 <= t < math.inf for t in times):
        raise ManifestError(f"{path}: voice_activity is not in order of time")
    return about
