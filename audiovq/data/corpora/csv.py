"""Any corpus that a table describes: CSV or TSV with a header line."""

import csv
import math
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import Field

from audiovq.config import ComponentConfig
from audiovq.data.corpora import _fake
from audiovq.data.corpora._base import Corpus, Utterance, inside, read_text, short
from audiovq.data.manifest import Split
from audiovq.errors import ManifestError

_DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|"}
_SPLITS: dict[str, Split] = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation",
    "dev": "validation", "development": "validation",
    "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
}  # fmt: skip


class Config(ComponentConfig):
    """Settings of a table. A column that is not set is used if it is there under that name."""

    table: str = Field("", description="the file, relative to ROOT; empty: the only one in ROOT")
    delimiter: Literal["auto", "comma", "tab", "semicolon", "pipe"] = Field(
        "auto", description="between columns; `auto`: tab for .tsv, else comma"
    )
    quoted: bool | None = Field(
        None, description='whether "..." encloses values; none: in all but tab-separated tables'
    )
    path: str = Field("path", description="column of the file, relative to ROOT")
    id: str | None = Field(None, description="column of the id (default: id, else the path)")
    speaker: str | None = Field(None, description="column of the speaker (default: speaker)")
    text: str | None = Field(None, description="column of what is said (default: text)")
    split: str | None = Field(
        None, description="column of the split: train, validation (dev) or test (default: split)"
    )
    language: str | None = Field(None, description="column of the BCP 47 tag (default: language)")
    start: str | None = Field(None, description="column of the first second (default: start)")
    end: str | None = Field(None, description="column of the last second (default: end)")


class Table(Corpus):
    """A `.csv` or `.tsv` file in ROOT, whose first line names its columns.

    One row is one utterance: a file, or with `start` and `end` (seconds) a part of it. Empty
    cells say nothing; rows without a split follow the common rule.
    """

    def __init__(self, config: Config) -> None:
        self.config = config

    def utterances(self, root: Path) -> Iterator[Utterance]:
        """Yield the rows of the table; a file that is not there is told as missing."""
        table = self._table(root)
        rows = self._rows(table)
        _, header = next(rows, ("", []))
        columns = self._columns(table, header)
        for where, values in rows:
            if len(values) != len(header):
                raise ManifestError(
                    f"{where}: {len(values)} columns; the first line names {len(header)}"
                )
            row = {role: values[header.index(c)].strip() for role, c in columns.items()}
            yield _utterance(root, row, where)

    def fake(self, root: Path) -> None:
        """Write six speakers of two files each."""
        rows = ["path,speaker,text,split,language"]
        for s in range(6):
            split = "dev" if s == 4 else "test" if s == 5 else "train"
            for u in range(2):
                path = f"audio/{s}-{u}.wav"
                _fake.write(root / path, 1.2, 10 * s + u)
                rows.append(f'{path},speaker{s},"made up, twice",{split},en')
        (root / "corpus.csv").write_text("\n".join(rows) + "\n")

    def _table(self, root: Path) -> Path:
        if self.config.table:
            return root / self.config.table
        found = sorted(p for p in root.iterdir() if p.suffix.lower() in {".csv", ".tsv"})
        if len(found) != 1:
            names = ", ".join(p.name for p in found) or "none"
            raise ManifestError(f"{root} must hold one .csv or .tsv ({names} there); set table=")
        return found[0]

    def _rows(self, table: Path) -> Iterator[tuple[str, list[str]]]:
        """Yield where a row is, and its values; blank lines are left out."""
        kind = self.config.delimiter
        if kind == "auto":
            kind = "tab" if table.suffix.lower() == ".tsv" else "comma"
        quoted = kind != "tab" if self.config.quoted is None else self.config.quoted
        reader = csv.reader(
            read_text(table).replace("\0", "\ufffd").split("\n"),
            delimiter=_DELIMITERS[kind],
            strict=True,  # a quotation mark that is never closed would swallow the rest
            quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        )
        try:
            for values in reader:
                if any(v.strip() for v in values):
                    yield f"{table}, line {reader.line_num}", values
        except csv.Error as error:
            raise ManifestError(f"{table}, line {reader.line_num}: {error}") from None

    def _columns(self, table: Path, header: list[str]) -> dict[str, str]:
        """Return the column of every role that has one."""
        set_by_user = self.config.model_fields_set
        columns = {}
        for role in ("path", "id", "speaker", "text", "split", "language", "start", "end"):
            column = getattr(self.config, role) or role
            if column in header:
                columns[role] = column
            elif role == "path" or role in set_by_user:
                raise ManifestError(
                    f"{table} has no column {column!r}; its first line names "
                    f"{short(', '.join(header))}; "
                    f"set {role}="
                )
        return columns


def _utterance(root: Path, row: Mapping[str, str], where: str) -> Utterance:
    path = inside(root, row["path"], where)
    start, end = _seconds(row, "start", where), _seconds(row, "end", where)
    span = None if start is None and end is None else (start or 0.0, end)
    if end is not None and end <= (start or 0.0):
        raise ManifestError(f"{where}: the end {end:g} s is not behind the start")
    stem = PurePosixPath(path).with_suffix("").as_posix()
    split = row.get("split", "").lower()
    if split and split not in _SPLITS:
        raise ManifestError(f"{where}: split {short(split)}; known: {', '.join(_SPLITS)}")
    return Utterance(
        id=row.get("id") or (stem if span is None else f"{stem}@{span[0]:.3f}"),
        path=path,
        speaker=row.get("speaker") or None,
        split=_SPLITS[split] if split else None,
        language=row.get("language") or None,
        text=row.get("text") or None,
        span=span,
    )


def _seconds(row: Mapping[str, str], role: str, where: str) -> float | None:
    text = row.get(role, "")
    try:
        value = float(text) if text else None
    except ValueError:
        value = math.nan
    if value is not None and not 0 <= value < math.inf:
        raise ManifestError(f"{where}: {role} {short(text)} is not a time in seconds")
    return value
