"""VCTK (Yamagishi et al. 2019): 110 speakers of English with their accents."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from audiovq.config import ComponentConfig
from audiovq.data.corpora import _fake
from audiovq.data.corpora._base import Corpus, Utterance, all_files, read_text
from audiovq.data.download import Archive
from audiovq.errors import ManifestError

_NAME = re.compile(r"(?P<id>(?P<speaker>[ps]\d+)_\d+)(?:_(?P<microphone>mic[12]))?\.(?:wav|flac)")


class Config(ComponentConfig):
    """Settings of VCTK."""

    audio: str = Field(
        "", description="folder of the recordings, such as wav48; empty: the only one there"
    )
    microphone: Literal["mic1", "mic2"] = Field(
        "mic1", description="which one, where a release has both"
    )


class VCTK(Corpus):
    """`<audio>/<speaker>/<speaker>_<number>.wav` or `.flac`, and `txt/<speaker>/...txt` beside.

    `<audio>` is `wav48` in release 0.80, `wav48_silence_trimmed` in 0.92, whose files end in
    `_mic1.flac` and `_mic2.flac`, and something like `wav16` in copies that people make. Files of
    one microphone are taken, and all those that name none. Text is there for most speakers (p315
    has none). No lists of splits: the common rule holds.
    """

    archives: ClassVar[Mapping[str, Archive]] = {
        "0.92": Archive(
            "https://datashare.is.ed.ac.uk/bitstream/handle/10283/3443/VCTK-Corpus-0.92.zip",
            "sha256:f96258be9fdc2cbff6559541aae7ea4f59df3fcaf5cf963aae5ca647357e359c",
        )
    }

    def __init__(self, config: Config) -> None:
        self.config = config

    def utterances(self, root: Path) -> Iterator[Utterance]:
        """Yield every recording of the chosen folder and microphone."""
        files = [(p, m) for p in all_files(root) if (m := self._match(p))]
        if not files:
            raise ManifestError(
                f"no <speaker>_<number>.wav, .flac or _{self.config.microphone}.flac in folders of "
                f"speakers below {root}; is it VCTK's folder?"
            )
        self._refuse_several({p.parent.parent for p, _ in files}, root)
        for path, match in files:
            text = path.parents[2] / "txt" / match["speaker"] / f"{match['id']}.txt"
            yield Utterance(
                id=match["id"],
                path=path.relative_to(root).as_posix(),
                speaker=match["speaker"],
                language="en",
                text=read_text(text).strip() if text.is_file() else None,
            )

    def fake(self, root: Path) -> None:
        """Write six speakers of two sentences each, as release 0.92 lays them out."""
        for s in range(6):
            name = f"p{225 + s}"
            for u in range(2):
                stem = f"{name}_{u + 1:03d}"
                for mic in (1, 2):
                    path = root / "wav48_silence_trimmed" / name / f"{stem}_mic{mic}.flac"
                    _fake.write(path, 1.2, 10 * s + u, 48000)
                text = root / "txt" / name / f"{stem}.txt"
                text.parent.mkdir(parents=True, exist_ok=True)
                text.write_text("Please call Stella.\n")

    def _match(self, path: Path) -> re.Match[str] | None:
        match = _NAME.fullmatch(path.name)
        if match is None or path.parent.name != match["speaker"]:
            return None
        if self.config.audio and path.parent.parent.name != self.config.audio:
            return None
        return match if match["microphone"] in {None, self.config.microphone} else None

    def _refuse_several(self, folders: set[Path], root: Path) -> None:
        """Every sentence would be there twice, at another rate."""
        if len(folders) > 1:
            shown = ", ".join(sorted(p.relative_to(root).as_posix() for p in folders))
            raise ManifestError(
                f"{root} holds several folders of recordings ({shown}); choose one, as in "
                f"audio={min(p.name for p in folders)}"
            )
