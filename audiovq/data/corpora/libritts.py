"""LibriTTS (Zen et al. 2019) and LibriTTS-R (Koizumi et al. 2023): sentences of LibriSpeech."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from audiovq.config import ComponentConfig
from audiovq.data.corpora import _fake, _sets
from audiovq.data.corpora._base import Corpus, Utterance, all_files, lines, read_text, short
from audiovq.data.download import Archive
from audiovq.errors import ManifestError

_NAME = re.compile(r"\d+_\d+_\d+_\d+\.(wav|flac)")

_SHA256 = {  # of the archives at openslr.org/60, as torchaudio checks them, too
    "dev-clean": "da0864e1bd26debed35da8a869dd5c04dfc27682921936de7cff9c8a254dbe1a",
    "dev-other": "d413eda26f3a152ac7c9cf3658ef85504dfb1b625296e5fa83727f5186cca79c",
    "test-clean": "234ea5b25859102a87024a4b9b86641f5b5aaaf1197335c95090cde04fe9a4f5",
    "test-other": "33a5342094f3bba7ccc2e0500b9e72d558f72eb99328ac8debe1d9080402f10d",
    "train-clean-100": "c5608bf1ef74bb621935382b8399c5cdd51cd3ee47cec51f00f885a64c6c7f6b",
    "train-clean-360": "ce7cff44dcac46009d18379f37ef36551123a1dc4e5c8e4eb73ae57260de4886",
    "train-other-500": "e35f7e34deeb2e2bdfe4403d88c8fdd5fbf64865cae41f027a185a6965f0a5df",
}


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

    archives: ClassVar[Mapping[str, Archive]] = {
        name: Archive(f"https://www.openslr.org/resources/60/{name}.tar.gz", f"sha256:{digest}")
        for name, digest in _SHA256.items()
    }

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
                        f"{where}: {short(line)} is not `id <tab> original <tab> normalized`"
                    )
                texts[columns[0]] = columns[2 if self.config.text == "normalized" else 1].strip()
        return texts
