"""LJ Speech (Ito and Johnson 2017): one reader, 24 hours."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from audiovq.config import ComponentConfig
from audiovq.data.corpora import _fake
from audiovq.data.corpora._base import Corpus, Utterance, inside, lines
from audiovq.errors import ManifestError


class Config(ComponentConfig):
    """Settings of LJ Speech."""

    text: Literal["normalized", "original"] = Field(
        "normalized", description="`normalized`: numbers and abbreviations as words; `original`"
    )


class LJSpeech(Corpus):
    """`metadata.csv` with lines of `id|text|normalised text`, and `wavs/<id>.wav`.

    The one speaker is called `LJ`, so splits are by utterance. Corpora in the same layout that
    have no third column are read, too.
    """

    single_speaker: ClassVar[bool] = True

    def __init__(self, config: Config) -> None:
        self.config = config

    def utterances(self, root: Path) -> Iterator[Utterance]:
        """Yield what metadata.csv lists; a file that is not there is told as missing."""
        table = root / "metadata.csv"
        if not table.is_file():
            raise ManifestError(f"no metadata.csv in {root}; is it LJ Speech's folder?")
        for where, line in lines(table):
            name, *texts = line.split("|")  # quotation marks mean nothing here
            if len(texts) not in {1, 2} or not name.strip():
                raise ManifestError(f"{where}: {line!r} is not `id|text|normalised text`")
            yield Utterance(
                id=name.strip(),
                path=inside(root, f"wavs/{name.strip()}.wav", where),
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
