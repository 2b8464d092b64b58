"""Parquet, one file per split, as Hugging Face `datasets` loads it.

    datasets.load_dataset("parquet", data_files={"train": "DIR/train.parquet"})

Columns: id, codes (a list of tokens; of several streams a list of lists), num_samples,
sample_rate, frame_rate, speaker, split, text, and durations, starts, ends where asked for. The
file's own metadata has the description under the key `audiovq`. Holds everything.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from audiovq.files import atomic_open
from audiovq.units.formats._base import (
    About,
    Add,
    Row,
    about_file,
    flat,
    labels,
    numbers,
    row,
    stacked,
)
from audiovq.units.optional import need

FILES = ("{split}.parquet",)
DEDUPLICATED = LINES = PATHS = False
_GROUP = 1024  # utterances held in memory, and read at once


@contextmanager
def writer(folder: Path, split: str, about: About) -> Iterator[Add]:
    """Open the file of a split."""
    pq, pa = need("pyarrow.parquet", "Parquet files"), need("pyarrow", "Parquet files")
    rates = {"sample_rate": about.sample_rate, "frame_rate": about.frame_rate}
    schema, waiting = _schema(pa, about), list[dict[str, Any]]()
    with (
        atomic_open(folder / f"{split}.parquet") as file,
        pq.ParquetWriter(file, schema, compression="zstd") as out,
    ):

        def flush() -> None:
            out.write_table(pa.Table.from_pylist(waiting, schema=schema))
            waiting.clear()

        def add(row: Row) -> None:
            waiting.append(
                {
                    "id": row.id,
                    "codes": flat(row.tokens).tolist(),
                    "num_samples": row.num_samples,
                    **rates,
                    **labels(row),
                    **{k: flat(v).tolist() for k, v in numbers(row).items()},
                }
            )
            if len(waiting) == _GROUP:
                flush()

        yield add
        if waiting:
            flush()


def reader(folder: Path, split: str, about: About) -> Iterator[Row]:  # noqa: ARG001
    """Yield the rows of a split."""
    pq = need("pyarrow.parquet", "Parquet files")
    with pq.ParquetFile(folder / f"{split}.parquet") as file:
        for batch in file.iter_batches(_GROUP):
            for values in batch.to_pylist():
                yield row(values, id=values["id"], tokens=stacked(values["codes"]))


def _schema(pa: Any, about: About) -> Any:
    def streams(kind: Any) -> Any:
        return pa.list_(kind) if about.streams == 1 else pa.list_(pa.list_(kind))

    fields = {
        "id": pa.string(),
        "codes": streams(pa.int32()),
        "num_samples": pa.int64(),
        "sample_rate": pa.int32(),
        "frame_rate": pa.float64(),
        "speaker": pa.string(),
        "split": pa.string(),
        "text": pa.string(),
    }
    if about.durations:
        fields["durations"] = streams(pa.int32())
    if about.times:
        fields |= {"starts": streams(pa.float64()), "ends": streams(pa.float64())}
    return pa.schema(list(fields.items()), metadata={"audiovq": about_file(about)})
