"""Shards as JSONL: a line per utterance, readable without any library.

{"id": "19-198-0001", "num_samples": 218400, "codes": [[417, 3, ...]], "speaker": "19", "split": "train"}
"""  # noqa: E501

import json
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, ValidationError

from audiovq.config import Config
from audiovq.errors import CheckpointError
from audiovq.units.metadata import Metadata
from audiovq.units.record import UnitRecord, as_codes, check_record
from audiovq.units.store._base import Table


class _Line(Config):
    """One line of a shard, as it must be."""

    id: str = Field(min_length=1)
    num_samples: int = Field(ge=1)
    codes: list[list[Annotated[int, Field(ge=0, lt=1 << 62)]]] = Field(min_length=1)
    speaker: str | None = None
    split: str | None = None
    text: str | None = None


def dump(records: Sequence[UnitRecord], metadata: Metadata) -> bytes:
    """Return a line for every record."""
    del metadata  # units.json beside the shards holds it
    return "".join(f"{_to_json(record)}\n" for record in records).encode()


def parse(data: bytes, metadata: Metadata, where: str) -> "JSONLTable":
    """Cut a shard into lines; each is read when it is asked for."""
    return JSONLTable(data, metadata, where)


class JSONLTable(Table):
    """A shard of lines."""

    def __init__(self, data: bytes, metadata: Metadata, where: str) -> None:
        self._lines = data.splitlines()  # of bytes: at \n, \r\n and \r, which JSON escapes
        self._metadata, self._where, self.nbytes = metadata, where, len(data)
        self._ids: list[str] | None = None
        self._splits: list[str | None] = []

    def ids(self) -> list[str]:
        """Return the ids, in the shard's order."""
        self._read_names()
        assert self._ids is not None
        return self._ids

    def split(self, row: int) -> str | None:
        """Return the split of a row."""
        self._read_names()
        return self._splits[row]

    def record(self, row: int) -> UnitRecord:
        """Return a row, its codes checked."""
        line = self._line(row)
        about = line.model_dump(exclude={"codes"})
        record = UnitRecord(codes=as_codes(line.codes), **about)
        return check_record(record, self._metadata, self._where)

    def _read_names(self) -> None:
        if self._ids is None:
            lines = [self._line(row) for row in range(len(self._lines))]
            self._ids, self._splits = [x.id for x in lines], [x.split for x in lines]

    def _line(self, row: int) -> _Line:
        try:
            return _Line.model_validate_json(self._lines[row], strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise CheckpointError(
                f"{self._where}: a line is not a record ({where}: {first['msg']})"
            ) from None


def _to_json(record: UnitRecord) -> str:
    values = {
        "id": record.id,
        "num_samples": record.num_samples,
        "codes": record.codes.tolist(),
        "speaker": record.speaker,
        "split": record.split,
        "text": record.text,
    }
    return json.dumps({k: v for k, v in values.items() if v is not None}, ensure_ascii=False)
