"""LJ Speech (Ito and Johnson 2017): one reader, 24 hours."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from audiovq.config import ComponentConfig
from audiovq.data.corpora import _fake
from audiovq.data.corpora._base import Corpus, Utterance, inside, lines, short
from audiovq.data.download import Archive
from audiovq.errors import ManifestError


class Config(ComponentConfig):
    """Settings of LJ Speech."""

    text: Literal["normalized", "original"] = Field(
        "normalized", description="`normalized`: numbers and abbreviations as words; `original`"
    )


class LJSpeech(Corpus):
    """`metadata.csv` with lines of `id|text|normalised text`, and `wavs/<id>.wav`.

    Both are in ROOT, or in `LJSpeech-1.1` below it. The one speaker is called `LJ`, so splits are
    by utterance. Corpora in the same layout that have no third column are read, too.
    """

    single_speaker: ClassVar[bool] = True

    archives: ClassVar[Mapping[str, Archive]] = {
        "1.1": Archive(
            "https://data.keithito.com/data/speech/LJSpeech-1.1.tar.bz2",
            "sha256:be1a30453f28eb8dd26af4101ae40cbf2c50413b1bb21936cbcdc6fae3de8aa5",
        )
    }

    def __init__(self, config: Config) -> None:
        self.config = config

    def utterances(self, root: Path) -> Iterator[Utterance]:
        """Yield what metadata.csv lists; a file that is not there is told as missing."""
        homes = [p for p in (root, root / "LJSpeech-1.1") if (p / "metadata.csv").is_file()]
        if not homes:
            raise ManifestError(f"no metadata.csv in {root}; is it LJ Speech's folder?")
        wavs = (homes[0] / "wavs").relative_to(root)
        for where, line in lines(homes[0] / "metadata.csv"):
            name, *texts = line.split("|")  # quotation marks mean nothing here
            if len(texts) not in {1, 2} or not name.strip():
                raise ManifestError(f"{where}: {short(line)} is not `id|text|normalised text`")
            yield Utterance(
                id=name.strip(),
                path=inside(root, f"{wavs}/{name.strip()}.wav", where),
                speaker="LJ",
                language="en",
                text=texts[-1 if self.config.text == "normalized" else 0].strip() or None,
            )

    def fake(self, root: Path) -> None:
        """Write six clips of one voice."""
        rows = []
        for u in range(6):
            _fake.write(root / "wavs" / f"LJ001-{u + 1:04d}.wav", 1.2, u, 22050)
            rows.append(f'LJ001-{u + 1:04d}|In "1455"|In "fourteen fifty-five"\n')
        (root / "metadata.csv").write_text("".join(rows))
