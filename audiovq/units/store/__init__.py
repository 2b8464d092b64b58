"""How a shard of a units folder is written and read: one format per file.

Every format has `dump(records, metadata) -> bytes`, and `parse(data, metadata, where) -> Table`.
"""

from collections.abc import Sequence

from audiovq.units.metadata import Metadata
from audiovq.units.record import UnitRecord
from audiovq.units.store import jsonl, parquet
from audiovq.units.store._base import Table

__all__ = ["Table", "check", "dump", "parse"]


def check(metadata: Metadata) -> None:
    """Refuse a format whose library is missing, before any work is done."""
    if metadata.shard_format == "parquet":
        parquet.require()


def dump(records: Sequence[UnitRecord], metadata: Metadata) -> bytes:
    """Return a shard's bytes, the same for the same records."""
    write = parquet.dump if metadata.shard_format == "parquet" else jsonl.dump
    return write(records, metadata)


def parse(name: str, data: bytes, metadata: Metadata, where: str) -> Table:
    """Read a shard's bytes; the suffix of its name says how.

    Raises:
        CheckpointError: it is not such a file.
    """
    if name.endswith(".parquet"):
        return parquet.parse(data, metadata, where)
    return jsonl.parse(data, metadata, where)
