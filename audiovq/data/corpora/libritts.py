"""LibriTTS (Zen et al. 2019) and LibriTTS-R (Koizumi et al. 2023): sentences of LibriSpeech."""

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from audiovq.config import ComponentConfig
from audiovq.data.corpora import _fake, _sets
from audiovq.data.corpora._base import Corpus, Utterance, all_files, lines, read_text
from audiovq.errors import ManifestError

_NAME = re.compile(r"\d+_\d+_\d+_\d+\.(wav|flac)")


class Config(ComponentConfig):
    """Settings of LibriTTS."""

    text: Literal["normalized", "original"] = Field(
        "normalized", description="`normalized`: numbers and abbreviations as words; `original`"
    )


class LibriTTS(Corpus):
    """`<set>/<speaker>/<chapter>/<speaker>_<chapter>_<paragraph>_<sentence>.wav`, at 24 kHz.

    The text is in `.normalized.txt` and `.original.txt` beside, or in the chapter's
    `<speaker>_<chapter>.trans.tsv`. Splits as for LibriSpeech: its own where train-*, dev-* and
    test-* are all there; of a part, dev validates, test tests, and train follows the common rule.
    """

    def __init__(self, config: Config) -> None:
        self.config = config

    def utterances(self, root: Path) -> Iterator[Utterance]:
        """Yield every sentence with its speaker and, where there is one, its text."""
        files = [p for p in all_files(root) if _NAME.fullmatch(p.name)]
        if not files:
            raise ManifestError(
                f"no <speaker>_<chapter>_<paragraph>_<sentence>.wav below {root}; is it "
                f"LibriTTS's folder?"
            )
        tables = lru_cache(1)(self._table)  # files of a chapter are neighbours
        splits = _sets.splits([p.relative_to(root) for p in files])
        for path, split in zip(files, splits, strict=True):
            text = path.with_name(f"{path.stem}.{self.config.text}.txt")
            yield Utterance(
                id=path.stem,
                path=path.relative_to(root).as_posix(),
                speaker=path.stem.split("_")[0],
                split=split,
                language="en",
                text=read_text(text).strip()
                if text.is_file()
                else tables(path.parent).get(path.stem),
            )

    def fake(self, root: Path) -> None:
        """Write eight speakers of two sentences each in three sets."""
        sets = ["train-clean-100"] * 6 + ["dev-clean", "test-clean"]
        for s, name in enumerate(sets):
            speaker, chapter = 84 + s, 121123 + s
            folder = root / "LibriTTS" / name / str(speaker) / str(chapter)
            for u in range(2):
                stem = f"{speaker}_{chapter}_{u:06d}_000000"
                _fake.write(folder / f"{stem}.wav", 1.5 + 0.3 * u, 10 * s + u, 24000)
                (folder / f"{stem}.original.txt").write_text("It is 2 o'clock.\n")
                (folder / f"{stem}.normalized.txt").write_text("It is two o'clock.\n")

    def _table(self, folder: Path) -> dict[str, str]:
        """Read a chapter's lines of `id <tab> original <tab> normalized`."""
        texts = {}
        for path in sorted(folder.glob("*.trans.tsv")):
            for where, line in lines(path):
                columns = line.split("\t")
                if len(columns) != 3:
                    raise ManifestError(
                        f"{where}: {line!r} is not `id <tab> original <tab> normalized`"
                    )
                texts[columns[0]] = columns[2 if self.config.text == "normalized" else 1].strip()
        return texts
