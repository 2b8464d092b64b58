"""Unpacking archives that came from somewhere else: nothing is written outside the folder."""

import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TypeVar

from tqdm import tqdm

from audiovq.errors import ManifestError

T = TypeVar("T")


def unpack(path: Path, folder: Path, *, nested: bool = False, progress: bool = True) -> None:
    """Unpack a tar (plain, gz or bz2) or a zip; files that are there are replaced.

    Args:
        path: the archive.
        folder: where to; it must exist.
        nested: also unpack tars inside it, each into the folder it lies in, and remove them.
        progress: show a bar on stderr.

    Raises:
        ManifestError: not an archive, damaged, or a member reaches outside the folder.
    """
    try:
        if path.suffix == ".zip":
            _unzip(path, folder, progress=progress)
        else:
            inner = _untar(path, folder, progress=progress)
            for archive in inner if nested else []:
                _untar(archive, archive.parent, progress=False)
                archive.unlink()
    except tarfile.FilterError as error:  # a member outside, a link to outside, or a device
        raise ManifestError(f"{path} is not unpacked: {error}") from None
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        why = " ".join(str(error).split())  # tarfile lists what every method said
        raise ManifestError(f"{path} cannot be unpacked: {why}") from None


def _untar(path: Path, folder: Path, *, progress: bool) -> list[Path]:
    """Unpack a tar; return the tars that were in it."""
    if not hasattr(tarfile, "data_filter"):
        raise ManifestError("unpacking needs Python 3.11.4 or newer, which can do it safely")
    inner = []
    with tarfile.open(path) as tar:
        for member in _shown(tar, path, progress=progress):
            tar.extract(member, folder, filter="data")
            if member.isreg() and member.name.endswith((".tar", ".tar.gz", ".tgz")):
                inner.append(folder / member.name)
    return inner


def _unzip(path: Path, folder: Path, *, progress: bool) -> None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        for member in members:  # zipfile would rename such members without a word
            name = PurePosixPath(member.filename.replace("\\", "/"))
            if name.is_absolute() or ".." in name.parts:
                raise ManifestError(f"{path} is not unpacked: {member.filename!r} reaches outside")
        for member in _shown(members, path, progress=progress):
            archive.extract(member, folder)


def _shown(members: Iterable[T], path: Path, *, progress: bool) -> Iterable[T]:
    shown: Iterable[T] = tqdm(members, desc=f"unpacking {path.name}", disable=not progress)
    return shown
