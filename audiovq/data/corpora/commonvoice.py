"""Common Voice (Ardila et al. 2020): sentences read by volunteers, in over a hundred languages."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from audiovq.config import ComponentConfig
from audiovq.data.corpora import _fake
from audiovq.data.corpora._base import Corpus, Utterance, inside, lines
from audiovq.data.manifest import Split
from audiovq.errors import ManifestError

_LISTS: dict[str, Split] = {"train": "train", "dev": "validation", "test": "test"}


class Config(ComponentConfig):
    """Settings of Common Voice."""

    lists: Literal["official", "validated"] = Field(
        "official",
        description="`official`: train.tsv, dev.tsv and test.tsv, which are the splits; "
        "`validated`: all of validated.tsv, split by the common rule",
    )


class CommonVoice(Corpus):
    """`clips/<name>.mp3`, and tables `train.tsv`, `dev.tsv`, `test.tsv` and `validated.tsv`.

    ROOT is the folder of a language (`cv-corpus-17.0/de`), or one of several such. `client_id` is
    the speaker, `sentence` the text, `locale` the language. Where one of the three lists is
    missing, dev validates, test tests and train follows the common rule; where all are,
    validated.tsv is read. The lists hold few recordings of each speaker: `lists=validated` is more
    speech, of the same people.
    """

    def __init__(self, config: Config) -> None:
        self.config = config

    def utterances(self, root: Path) -> Iterator[Utterance]:
        """Yield what the tables list; a clip that is not there is told as missing."""
        folders = [p for p in (root, *sorted(root.iterdir())) if (p / "clips").is_dir()]
        if not folders:
            raise ManifestError(f"no folder `clips` in {root}; is it Common Voice's folder?")
        for folder in folders:
            tables = self._tables(folder)
            whole = len(tables) == len(_LISTS)
            for table, split in tables.items():
                yield from _read(root, table, None if split == "train" and not whole else split)

    def fake(self, root: Path) -> None:
        """Write eight volunteers of two clips each."""
        rows: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
        for s in range(8):
            for u in range(2):
                name = f"common_voice_en_{100 * s + u}.mp3"
                _fake.write(root / "clips" / name, 1.5, 10 * s + u, 32000)
                row = f'{s:0128x}\t{name}\t"Yes", she said.\t2\t0\t\t\t\ten\t\n'
                rows["dev" if s == 6 else "test" if s == 7 else "train"].append(row)
        columns = "client_id path sentence up_votes down_votes age gender accents locale segment"
        head = "\t".join(columns.split()) + "\n"
        rows["validated"] = [row for some in rows.values() for row in some]
        for table, some in rows.items():
            (root / f"{table}.tsv").write_text(head + "".join(some))

    def _tables(self, folder: Path) -> dict[Path, Split | None]:
        official = {folder / f"{name}.tsv": split for name, split in _LISTS.items()}
        found: dict[Path, Split | None] = {p: s for p, s in official.items() if p.is_file()}
        if self.config.lists == "validated" or not found:
            found = {folder / "validated.tsv": None}
        if not all(p.is_file() for p in found):
            raise ManifestError(f"no validated.tsv in {folder}; is it Common Voice's folder?")
        return found


def _read(root: Path, table: Path, split: Split | None) -> Iterator[Utterance]:
    """Yield the rows of a table, in which quotation marks mean nothing."""
    clips = table.parent.relative_to(root) / "clips"
    header: list[str] = []
    for where, line in lines(table):
        values = line.split("\t")
        if not header:
            header = values
            if not {"client_id", "path"} <= set(header):
                raise ManifestError(f"{where}: no columns `client_id` and `path` in the header")
            continue
        if len(values) != len(header):
            raise ManifestError(f"{where}: {len(values)} columns; the header names {len(header)}")
        row = dict(zip(header, values, strict=True))
        name = row["path"].removesuffix(".mp3")  # old releases leave it out
        yield Utterance(
            id=name,
            path=inside(root, (clips / f"{name}.mp3").as_posix(), where),
            speaker=row["client_id"] or None,
            split=split,
            language=row.get("locale") or None,
            text=row.get("sentence") or None,
        )
