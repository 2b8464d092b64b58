r"""fairseq's files of labels: `{split}.km`, `{split}.tsv` in the same order, `dict.km.txt`.

A line of `.km` is an utterance: its units, separated by spaces. The first line of `.tsv` is the
folder of the audio, every other `path\tsamples`; `dict.km.txt` names every unit, with the count 1.
Deduplicated units have their durations (frames) in `{split}.dur`. With a manifest the paths are
those of the audio, else ids take their place, under the folder `.`.

Holds neither speaker nor text.

Source: fairseq, examples/hubert/simple_kmeans and textless_nlp/gslm/speech2unit.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import torch
from jaxtyping import Int
from torch import Tensor

from audiovq.errors import ConfigError
from audiovq.files import atomic_open, atomic_write
from audiovq.units.formats._base import About, Add, Row, one_line

FILES = ("{split}.km", "{split}.tsv", "{split}.dur", "dict.km.txt")
DEDUPLICATED = False
LINES = PATHS = True


@contextmanager
def writer(folder: Path, split: str, about: About) -> Iterator[Add]:
    """Open the files of a split."""
    seen: set[str] = set()
    atomic_write(folder / "dict.km.txt", "".join(f"{unit} 1\n" for unit in _dictionary(about)))
    with ExitStack() as stack:
        units = stack.enter_context(atomic_open(folder / f"{split}.km"))
        names = stack.enter_context(atomic_open(folder / f"{split}.tsv"))
        spans = about.durations and stack.enter_context(atomic_open(folder / f"{split}.dur"))
        names.write(f"{one_line(about.root or '.', 'the folder')}\n".encode())

        def add(row: Row) -> None:
            path = _path(row.path or row.id)
            if path in seen:
                raise ConfigError(
                    f"two utterances are of the file {path!r}; .tsv names whole files: choose npz, "
                    f"jsonl, webdataset or parquet"
                )
            seen.add(path)
            names.write(f"{path}\t{row.file_samples or row.num_samples}\n".encode())
            write_numbers(units, row.tokens)
            if spans and row.durations is not None:
                write_numbers(spans, row.durations)

        yield add


def _dictionary(about: About) -> list[int]:
    """Return the ids that lines may hold: fairseq has special tokens of its own."""
    config = about.tokens
    special = {about.pad, about.bos, about.eos} | ({0} if about.bpe else set())
    used = {about.bos} if config.bos else set()
    used |= {about.eos} if config.eos else set()
    return [unit for unit in range(about.vocabulary_size) if unit not in special - used]


def reader(folder: Path, split: str, about: About) -> Iterator[Row]:
    """Yield the rows of a split; their ids are paths."""
    with ExitStack() as stack:
        names = stack.enter_context(open_lines(folder / f"{split}.tsv"))
        units = stack.enter_context(open_lines(folder / f"{split}.km"))
        spans = about.durations and stack.enter_context(open_lines(folder / f"{split}.dur"))
        next(names)
        for name in names:
            path, _, samples = name.rstrip("\n").rpartition("\t")
            yield Row(
                id=path,
                path=path,
                tokens=read_numbers(units),
                durations=read_numbers(spans) if spans else None,
                num_samples=int(samples) if about.root is None else None,
                file_samples=int(samples),
                split=None if split == "all" else split,
            )


def open_lines(path: Path) -> IO[str]:
    r"""Open a file of lines that end with \n and with nothing else."""
    return path.open(encoding="utf-8", newline="\n")


def write_numbers(file: IO[bytes], x: Int[Tensor, "1 n"]) -> None:
    """Write a stream as a line."""
    file.write((" ".join(map(str, x[0].tolist())) + "\n").encode())


def read_numbers(file: IO[str]) -> Int[Tensor, "1 n"]:
    """Read a line as a stream.

    Raises:
        ValueError: there is no such line.
    """
    values = [int(word) for word in file.readline().split()]
    if not values:
        raise ValueError(f"{file.name} has lines missing")
    return torch.tensor([values])


def _path(name: str) -> str:
    """Return a path as fairseq will read it, which strips each line and splits it at tabs."""
    if "\t" in name or name != name.lstrip():
        raise ConfigError(
            f"the path {name!r} has a tab in it or a space in front, which .tsv cannot hold: "
            f"choose npz, jsonl, webdataset or parquet"
        )
    return one_line(name, "the path")
