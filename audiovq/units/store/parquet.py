"""Shards as Parquet, which Hugging Face `datasets`, pandas, DuckDB and Spark read as they are.

Columns: id, codes (K lists of T whole numbers), num_samples, sample_rate (Hz), frame_rate (Hz), speaker,
split, text. The file's own metadata (key `audiovq`) says which model and versions made the codes.
"""  # noqa: E501

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from audiovq.errors import CheckpointError, ConfigError
from audiovq.units.metadata import Metadata
from audiovq.units.record import UnitRecord, as_codes, check_record
from audiovq.units.store._base import Table

_TEXTS = ("speaker", "split", "text")
_NEEDED = {"id", "codes", "num_samples", *_TEXTS}


def require() -> Any:
    """Return pyarrow.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import pyarrow  # noqa: ICN001, PLC0415  (optional, and slow to import)
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError:
        raise ConfigError(
            'Parquet needs pyarrow: pip install "audiovq[units]", or choose --shards jsonl'
        ) from None
    return pyarrow


def dump(records: Sequence[UnitRecord], metadata: Metadata) -> bytes:
    """Return a Parquet file of one row group."""
    pa = require()
    table = to_arrow(records, metadata)
    sink = io.BytesIO()
    pa.parquet.write_table(table, sink, compression="zstd", row_group_size=max(1, len(records)))
    return sink.getvalue()


def to_arrow(records: Sequence[UnitRecord], metadata: Metadata) -> Any:
    """Return records as an Arrow table with the columns of a shard."""
    pa = require()
    schema = arrow_schema(metadata)
    columns = {
        "id": [r.id for r in records],
        "num_samples": [r.num_samples for r in records],
        "sample_rate": [metadata.sample_rate] * len(records),
        "frame_rate": [metadata.frame_rate] * len(records),
        **{name: [getattr(r, name) for r in records] for name in _TEXTS},
    }
    arrays = [
        _nested(records, schema.field("codes").type)
        if field.name == "codes"
        else pa.array(columns[field.name], field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def arrow_schema(metadata: Metadata) -> Any:
    """Return the columns of a shard; the metadata in it is what a shard alone must tell."""
    pa = require()
    small = max(metadata.codebook_sizes) <= 1 << 16
    about = {
        "model_hash": metadata.model_hash,
        "coder": metadata.coder,
        "sample_rate": metadata.sample_rate,
        "hop_length": metadata.hop_length,
        "codebook_sizes": metadata.codebook_sizes,
        "layout": metadata.layout,
        "software": metadata.software,
    }
    fields = [
        ("id", pa.string()),
        ("codes", pa.list_(pa.list_(pa.uint16() if small else pa.int32()))),
        ("num_samples", pa.int64()),
        ("sample_rate", pa.int32()),
        ("frame_rate", pa.float64()),
        *((name, pa.string()) for name in _TEXTS),
    ]
    return pa.schema(fields, metadata={"audiovq": json.dumps(about)})


def _nested(records: Sequence[UnitRecord], kind: Any) -> Any:
    """Return codes as lists of lists without a Python object per code."""
    pa = require()
    rows = [row.numpy() for r in records for row in r.codes]
    value_type = kind.value_type.value_type
    flat = np.concatenate(rows) if rows else np.empty(0, np.int64)
    inner = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int32)
    outer = np.concatenate([[0], np.cumsum([len(r.codes) for r in records])]).astype(np.int32)
    values = pa.array(flat.astype(value_type.to_pandas_dtype()), value_type)
    return pa.ListArray.from_arrays(outer, pa.ListArray.from_arrays(inner, values))


def parse(data: bytes, metadata: Metadata, where: str) -> "ParquetTable":
    """Read a Parquet file.

    Raises:
        CheckpointError: it is not one, or lacks a column.
    """
    pa = require()
    try:
        table = pa.parquet.read_table(io.BytesIO(data), use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise CheckpointError(f"{where} is not a Parquet file: {error}") from None
    if missing := _NEEDED - set(table.column_names):
        raise CheckpointError(f"{where} lacks the columns {', '.join(sorted(missing))}")
    codes = table.schema.field("codes").type
    nested = pa.types.is_list(codes) and pa.types.is_list(codes.value_type)
    if not nested or not pa.types.is_integer(codes.value_type.value_type):
        raise CheckpointError(f"{where}: codes are {codes}, not lists of lists of whole numbers")
    return ParquetTable(table, metadata, where)


class ParquetTable(Table):
    """A shard as an Arrow table."""

    def __init__(self, table: Any, metadata: Metadata, where: str) -> None:
        self._table = table.combine_chunks()
        self._metadata, self._where, self.nbytes = metadata, where, table.nbytes
        self._codes = self._table["codes"].combine_chunks()

    def ids(self) -> list[str]:
        """Return the ids, in the shard's order."""
        found: list[str] = self._table["id"].to_pylist()
        return found

    def split(self, row: int) -> str | None:
        """Return the split of a row."""
        found: str | None = self._table["split"][row].as_py()
        return found

    def record(self, row: int) -> UnitRecord:
        """Return a row, its codes checked."""
        rows = self._codes[row].values
        codes = as_codes([np.asarray(r.values) for r in rows])
        names = ("id", "num_samples", *_TEXTS)
        about = {name: self._table[name][row].as_py() for name in names}
        return check_record(UnitRecord(codes=codes, **about), self._metadata, self._where)
