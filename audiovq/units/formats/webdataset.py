"""Tar shards for webdataset: `{split}-000000.tar` and on, two members or more per utterance.

    KEY.npy            tokens, int32: (n,), of several streams (S, n)
    KEY.durations.npy  frames per token, and likewise .starts.npy and .ends.npy (s), if asked for
    KEY.json           {"id": ..., "num_samples": ..., "speaker": ..., "split": ..., "text": ...}

KEY is the id in percent-encoding, `.` included, since a key ends at the first dot:
`urllib.parse.unquote` gives the id back. Holds everything.
"""

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import quote

import numpy as np
from torch import Tensor

from audiovq.files import atomic_open
from audiovq.units.formats._base import About, Add, Row, flat, labels, numbers, row, stacked

FILES = ("{split}-[0-9][0-9][0-9][0-9][0-9][0-9].tar",)
DEDUPLICATED = LINES = PATHS = False
_PER_SHARD = 4096  # utterances


@contextmanager
def writer(folder: Path, split: str, about: About) -> Iterator[Add]:  # noqa: ARG001
    """Open the shards of a split, one after the other."""
    with ExitStack() as stack:
        count = 0
        tar: tarfile.TarFile

        def add(row: Row) -> None:
            nonlocal count, tar
            if count % _PER_SHARD == 0:
                stack.close()
                name = f"{split}-{count // _PER_SHARD:06d}.tar"
                file = stack.enter_context(atomic_open(folder / name))
                tar = stack.enter_context(
                    tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)
                )
            count += 1
            key = quote(row.id, safe="").replace(".", "%2E")
            values = {"id": row.id, "num_samples": row.num_samples, **labels(row)}
            _add(tar, f"{key}.json", json.dumps(values, ensure_ascii=False).encode())
            _add(tar, f"{key}.npy", _npy(row.tokens))
            for name, stream in numbers(row).items():
                _add(tar, f"{key}.{name}.npy", _npy(stream))

        yield add


def reader(folder: Path, split: str, about: About) -> Iterator[Row]:  # noqa: ARG001
    """Yield the rows of a split."""
    for path in sorted(folder.glob(FILES[0].format(split=split))):
        found: dict[str, Any] = {}
        with tarfile.open(path, "r|") as tar:
            for member in tar:
                kind = member.name.partition(".")[2]
                data = cast("IO[bytes]", tar.extractfile(member)).read()
                if kind == "json":  # the first of each utterance
                    if found:
                        yield _row(found)
                    found = json.loads(data)
                else:
                    found[kind.removesuffix("npy")] = np.load(io.BytesIO(data), allow_pickle=False)
        if found:
            yield _row(found)


def _row(found: dict[str, Any]) -> Row:
    values = {name.removesuffix("."): value for name, value in found.items()}
    return row(values, id=values["id"], tokens=stacked(values[""]))


def _npy(x: Tensor) -> bytes:
    out, array = io.BytesIO(), flat(x).numpy()
    np.save(out, array if x.is_floating_point() else array.astype(np.int32), allow_pickle=False)
    return out.getvalue()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # no time and no owner: the same units give the same bytes
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
