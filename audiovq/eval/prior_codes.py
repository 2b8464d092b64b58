"""The nats of every code as a file: a line, or a row, per utterance.

{"id": "19-198-0001", "speaker": "19", "num_samples": 218400, "codes": [[417, 3, ...]], "nats": [[4.25, 1.5, ...]], "prior": "9f86d08..."}

`num_samples` counts at the coder's rate, `prior` is the prior's fingerprint. Parquet has the same
columns. Bits are nats / ln 2.
"""  # noqa: E501

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import Float32

from audiovq.errors import ConfigError
from audiovq.eval.prior_likelihood import Each
from audiovq.files import atomic_open
from audiovq.units.optional import need
from audiovq.units.sequences import CodeSequences

_GROUP = 256  # utterances of a row group of Parquet, held until it is written


def check(path: Path) -> None:
    """Look whether such a file can be written, before any work is done.

    Raises:
        ConfigError: it cannot.
    """
    if path.suffix not in {".jsonl", ".parquet"}:
        raise ConfigError(f"--codes {path}: name a file that ends in .jsonl or .parquet")
    if not path.parent.is_dir():
        raise ConfigError(f"--codes {path}: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise ConfigError(f"--codes {path} is a folder; name a file")
    if path.suffix == ".parquet":
        need("pyarrow.parquet", "--codes FILE.parquet and its kind")


@contextlib.contextmanager
def writing(path: Path, sequences: CodeSequences, prior: str) -> Iterator[Each]:
    """Open a file that appears whole or not at all; gives what takes each utterance's nats.

    Args:
        path: ends in .jsonl or .parquet; replaced if it is there.
        sequences: the utterances.
        prior: the prior's fingerprint.

    Raises:
        ConfigError: nothing can be written there.
    """
    check(path)
    open_rows = _parquet if path.suffix == ".parquet" else _lines
    try:
        with atomic_open(path) as file, open_rows(file) as add:

            def each(i: int, nats: Float32[np.ndarray, "K T"]) -> None:
                add(_row(sequences, i, nats, prior))

            yield each
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from None


def _row(
    sequences: CodeSequences, i: int, nats: Float32[np.ndarray, "K T"], prior: str
) -> dict[str, Any]:
    return {
        "id": sequences.ids[i],
        "speaker": sequences.speakers[i],
        "num_samples": int(sequences.samples[i]),
        "codes": sequences.codes[i].tolist(),
        # as short as float32 allows: 4.25, not 4.249999999999999
        "nats": [[float(str(v)) for v in row] for row in nats],
        "prior": prior,
    }


@contextlib.contextmanager
def _lines(file: IO[bytes]) -> Iterator[Any]:
    def add(row: dict[str, Any]) -> None:
        file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())

    yield add


@contextlib.contextmanager
def _parquet(file: IO[bytes]) -> Iterator[Any]:
    pq = need("pyarrow.parquet", "--codes FILE.parquet and its kind")
    pa = need("pyarrow", "--codes FILE.parquet and its kind")
    nested = {"codes": pa.int32(), "nats": pa.float32()}
    plain = {"id": pa.string(), "speaker": pa.string(), "num_samples": pa.int64()}
    lists = {name: pa.list_(pa.list_(kind)) for name, kind in nested.items()}
    schema = pa.schema({**plain, **lists, "prior": pa.string()})
    held: list[dict[str, Any]] = []
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:

        def flush() -> None:
            writer.write_table(pa.Table.from_pylist(held, schema))
            held.clear()

        def add(row: dict[str, Any]) -> None:
            held.append(row)
            if len(held) == _GROUP:
                flush()

        yield add
        if held:
            flush()
