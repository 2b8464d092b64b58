"""Where the bytes of an audio file are: in a file of its own, or in an uncompressed tar."""

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import soundfile

from audiovq.errors import AudioError


@contextmanager
def opened(path: str | Path) -> Iterator[soundfile.SoundFile]:
    """Open a file, or a tar's member, for decoding; every failure inside is an AudioError.

    Args:
        path: a file, or `shard.tar/utterance.flac` where `shard.tar` is a file.
    """
    try:
        source, member = _resolve(Path(path))
        # An open descriptor, not a name: soundfile cannot spell a name that is not UTF-8, and
        # guesses the format of some from their suffix.
        with source.open("rb", buffering=0) as raw:
            target = raw.fileno() if member is None else _Slice(raw, *member)
            with _Sequential(target, closefd=False) as file:
                yield file
    except (OSError, RuntimeError, ValueError, tarfile.TarError) as error:
        raise AudioError(f"{path} cannot be read as audio: {_reason(error)}") from None


def exists(path: str | Path) -> bool:
    """Return whether there is such a file, or such a member of a tar."""
    try:
        _resolve(Path(path))
    except (AudioError, OSError, tarfile.TarError):
        return False
    return True


def tar_members(path: Path) -> list[str]:
    """Return the names of all files in an uncompressed tar, in its order.

    Raises:
        AudioError: not an uncompressed tar, or cut off.
    """
    try:
        return list(_index_of(path))
    except (OSError, tarfile.TarError) as error:
        raise AudioError(f"{path} cannot be read as an uncompressed tar: {error}") from None


def _resolve(path: Path) -> tuple[Path, tuple[int, int] | None]:
    """Return the file to open and, for a tar's member, its offset and size in bytes."""
    if path.is_file():
        if path.stat().st_size == 0:
            raise AudioError(f"{path} is empty (0 bytes)")
        return path, None
    if path.is_dir():
        raise AudioError(f"{path} is a folder; a file is needed")
    for parent in path.parents:
        if parent.suffix == ".tar" and parent.is_file():
            name = path.relative_to(parent).as_posix()
            found = _index_of(parent).get(name)
            if found is None:
                raise AudioError(f"{parent} has no member {name!r}")
            return parent, found
    if path.exists():
        raise AudioError(f"{path} is a pipe or a device; a file is needed")
    link = " (a broken link)" if path.is_symlink() else ""
    raise AudioError(f"{path} does not exist{link}")


def _index_of(path: Path) -> dict[str, tuple[int, int]]:
    facts = path.stat()
    return _index(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=64)
def _index(path: Path, _changed: int, _size: int) -> dict[str, tuple[int, int]]:
    """Return offset and size of every file in a tar; read once until the tar changes."""
    with tarfile.open(path, "r:") as tar:
        files = (m for m in tar if m.isreg() and not m.issparse())
        return {m.name.removeprefix("./"): (m.offset_data, m.size) for m in files}


def _reason(error: Exception) -> str:
    text = str(getattr(error, "error_string", None) or getattr(error, "strerror", None) or error)
    # What libsndfile says of an mp3 in which no frame can be found.
    return "no audio was found in it" if "not a regular file" in text else text.rstrip(".")


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
    """A file read on and on. `seek` still works; it is only never done unasked.

    soundfile seeks after every read. In an mp3 that resets the decoder, and the next block starts
    with samples that are wrong by up to a quarter of full scale.
    """

    def seekable(self) -> bool:
        return False


class _Slice(io.RawIOBase):
    """A stretch of an open file as a file of its own, so that a long member is never held whole."""

    def __init__(self, file: BinaryIO | io.FileIO, offset: int, size: int) -> None:
        self._file, self._offset, self._size, self._at = file, offset, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, to: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + to)
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        self._file.seek(self._offset + self._at)
        data = self._file.read(max(0, min(len(view), self._size - self._at)))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)
