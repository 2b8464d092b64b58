"""Writing files so that a kill or a full disk leaves the old file or the new, never a part."""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

STALE_MARK = ".audiovq-tmp-"  # in the name of every temporary; nothing else may carry it


@contextlib.contextmanager
def atomic_open(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary beside `path` for binary writing; it becomes `path` on success.

    Order: write, fsync the file, rename, fsync the folder. The umask decides the mode (a plain
    open does that), and an exception removes the temporary and leaves `path` as it was.

    Args:
        path: the file to create or replace; its folder must exist.
    """
    path = Path(path)
    temporary = path.with_name(f"{path.name}{STALE_MARK}{secrets.token_hex(6)}")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)  # a full disk is told without any
        raise
    _sync_folder(path.parent)


def atomic_write(path: Path, data: bytes | str) -> None:
    """Replace `path` by `data` (text as UTF-8) in one step; see `atomic_open`."""
    with atomic_open(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def remove_stale(folder: Path) -> list[Path]:
    """Delete temporaries that a killed writer left in `folder`; returns what was deleted."""
    stale = [p for p in Path(folder).glob(f"*{STALE_MARK}*") if p.is_file()]
    for path in stale:
        path.unlink(missing_ok=True)
    return stale


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes, read in bounded memory."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # Windows cannot open a folder for fsync
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
