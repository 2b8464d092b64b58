"""JSONL, a line per utterance, as fastabx (key `audio`) and discophon (key `file`) read it.

    {"audio": "19-198-0001", "file": "19-198-0001", "units": [417, 3, 3], "num_samples": 960, ...}

Holds everything; several streams are nested lists.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from audiovq.files import atomic_open
from audiovq.units.formats._base import About, Add, Row, flat, labels, numbers, row, stacked

FILES = ("{split}.jsonl",)
DEDUPLICATED = LINES = PATHS = False


@contextmanager
def writer(folder: Path, split: str, about: About) -> Iterator[Add]:  # noqa: ARG001
    """Open the file of a split."""
    with atomic_open(folder / f"{split}.jsonl") as file:

        def add(row: Row) -> None:
            values = {
                "audio": row.id,
                "file": row.id,
                "units": flat(row.tokens).tolist(),
                **{k: flat(v).tolist() for k, v in numbers(row).items()},
                "num_samples": row.num_samples,
                **labels(row),
            }
            file.write((json.dumps(values, ensure_ascii=False) + "\n").encode())

        yield add


def reader(folder: Path, split: str, about: About) -> Iterator[Row]:  # noqa: ARG001
    """Yield the rows of a split."""
    with (folder / f"{split}.jsonl").open(encoding="utf-8", newline="\n") as file:
        for line in file:
            values = json.loads(line)
            yield row(values, id=values["audio"], tokens=stacked(values["units"]))
