"""Packed NumPy: one `{split}.npz`, all utterances end to end, read without pickle.

    ids, num_samples, speakers            one per utterance; a speaker of "" is none
    codes, code_offsets, code_lengths     tokens of utterance i: codes[offset : offset + length]
    counts, count_offsets, count_lengths  frames per token, where asked for
    starts, ends                          of each token (s), beside codes, where asked for
    about                                 the description, as JSON

Of several streams, codes are (n, S). Does not hold text.

Source: the packed layout of SLUE-SQA's unit files (huggingface.co/datasets/dodofk).
"""

import shutil
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Any, cast

import numpy as np
import torch
from torch import Tensor

from audiovq.errors import ConfigError
from audiovq.files import atomic_open
from audiovq.units.formats._base import About, Add, Row, about_file, numbers

FILES = ("{split}.npz",)
DEDUPLICATED = LINES = PATHS = False
_IN_MEMORY = 1 << 24  # bytes of each array kept in memory before a file takes them
_NAMES = {"durations": "counts", "starts": "starts", "ends": "ends"}
_YEAR = (1980, 1, 1, 0, 0, 0)  # the same units give the same bytes


@contextmanager
def writer(folder: Path, split: str, about: About) -> Iterator[Add]:
    """Open the file of a split; tokens wait on disk until their number is known."""
    with ExitStack() as stack:
        file = stack.enter_context(atomic_open(folder / f"{split}.npz"))
        spools: dict[str, _Spool] = {}
        heads: dict[str, list[Any]] = {k: [] for k in ("ids", "num_samples", "speakers", "lengths")}

        def spool(name: str, x: Tensor) -> None:
            if name not in spools:
                spools[name] = _Spool(stack, folder, x)
            spools[name].add(x)

        def add(row: Row) -> None:
            for key, value in (
                ("ids", _kept(row.id, "id")),
                ("num_samples", row.num_samples),
                ("speakers", _kept(row.speaker or "", "speaker")),
                ("lengths", row.tokens.shape[1]),
            ):
                heads[key].append(value)
            spool("codes", row.tokens)
            for name, x in numbers(row).items():
                spool(_NAMES[name], x)

        yield add
        with zipfile.ZipFile(file, "w", allowZip64=True) as archive:
            for name, array in _heads(heads, about, counts="counts" in spools).items():
                with _member(archive, name) as out:
                    np.lib.format.write_array(out, array, allow_pickle=False)
            for name, one in spools.items():
                with _member(archive, name) as out:
                    one.write(out)


def reader(folder: Path, split: str, about: About) -> Iterator[Row]:  # noqa: ARG001
    """Yield the rows of a split."""
    with np.load(folder / f"{split}.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    streams = {k: arrays[v] for k, v in _NAMES.items() if v in arrays}
    for i, name in enumerate(arrays["ids"]):
        start = int(arrays["code_offsets"][i])
        part = slice(start, start + int(arrays["code_lengths"][i]))
        yield Row(
            id=str(name),
            tokens=_streams(arrays["codes"][part]),
            num_samples=int(arrays["num_samples"][i]),
            speaker=str(arrays["speakers"][i]) or None,
            split=None if split == "all" else split,
            **cast("Any", {k: _streams(v[part]) for k, v in streams.items()}),
        )


class _Spool:
    """An array that grows along time, (n) or (n, S), on disk where it is large."""

    def __init__(self, stack: ExitStack, folder: Path, like: Tensor) -> None:
        self._file: IO[bytes] = stack.enter_context(
            SpooledTemporaryFile(_IN_MEMORY, dir=str(folder))  # noqa: SIM115
        )
        self._dtype = np.dtype(np.float64 if like.is_floating_point() else np.int32)
        self._shape: Sequence[int] = () if like.shape[0] == 1 else like.shape[:1]
        self._length = 0

    def add(self, x: Tensor) -> None:
        self._length += x.shape[1]
        self._file.write(x.t().contiguous().numpy().astype(self._dtype).tobytes())

    def write(self, out: Any) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._length, *self._shape),
        }
        np.lib.format.write_array_header_1_0(out, header)
        self._file.seek(0)
        shutil.copyfileobj(self._file, out)


def _heads(heads: dict[str, list[Any]], about: About, *, counts: bool) -> dict[str, Any]:
    """Return the arrays with an entry per utterance."""
    lengths = np.array(heads.pop("lengths"), dtype=np.int64)
    offsets = lengths.cumsum() - lengths
    found = {k: np.array(v) for k, v in heads.items()}
    for kind in ("code", "count") if counts else ("code",):
        found |= {f"{kind}_offsets": offsets, f"{kind}_lengths": lengths}
    return found | {"about": np.array(about_file(about))}


def _member(archive: zipfile.ZipFile, name: str) -> Any:
    return archive.open(zipfile.ZipInfo(f"{name}.npy", _YEAR), "w", force_zip64=True)


def _kept(name: str, what: str) -> str:
    """Return a name that an array of strings gives back as it was."""
    if name.endswith("\0"):
        raise ConfigError(
            f"the {what} {name!r} ends with a NUL, which NumPy drops: choose jsonl, webdataset or "
            f"parquet"
        )
    return name


def _streams(x: Any) -> Tensor:
    found = torch.from_numpy(np.ascontiguousarray(np.atleast_2d(x.T)))
    return found if found.is_floating_point() else found.to(torch.int64)
