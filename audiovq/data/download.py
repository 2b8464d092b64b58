"""Archives of published corpora: fetched with resume, checked against a known sum, unpacked."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from audiovq.data.unpack import unpack
from audiovq.errors import ConfigError, ManifestError
from audiovq.files import atomic_write

_FOLDER = ".archives"  # hidden, so that no corpus looks into it
_CHUNK = 1 << 16  # bytes; of the last, unfinished one nothing is kept
_TIMEOUT = (15.0, 60.0)  # seconds: to connect, and between two pieces of the answer
_ATTEMPTS, _PAUSE = 5, 2.0  # in a row without a single byte; seconds, doubled each time


@dataclass(frozen=True)
class Archive:
    """A file to download.

    Attributes:
        url: where it is.
        checksum: `sha256:...` or `md5:...` of the file, as published or widely confirmed.
        nested: archives inside it are unpacked in their turn.
    """

    url: str
    checksum: str
    nested: bool = False

    @property
    def file(self) -> str:
        """Name of the file."""
        return self.url.rpartition("/")[2]


def download(
    archives: Mapping[str, Archive], names: Sequence[str], root: Path, *, progress: bool = True
) -> None:
    """Fetch archives and unpack them into a folder, unless that was done before.

    A transfer that broke off goes on where it stopped, in this run or the next. An archive is
    removed once it is unpacked; one that was put at `ROOT/.archives/FILE` by other means is used.

    Args:
        archives: what there is, by name.
        names: which of them.
        root: folder to unpack into; made if it is not there.
        progress: show bars on stderr.

    Raises:
        ConfigError: an unknown name, or the extra `download` is missing.
        ManifestError: the network fails, the sum is wrong, or nothing can be written.
    """
    unknown = [name for name in names if name not in archives]
    if unknown:
        offered = ", ".join(archives) or "nothing; get the corpus from its publishers"
        raise ConfigError(f"--download {unknown[0]!r} is not offered; there is: {offered}")
    folder = root / _FOLDER
    for name in names:
        archive = archives[name]
        done = folder / f"{archive.file}.unpacked"
        if done.is_file() and done.read_text("utf-8") == archive.checksum:
            continue
        with _explained(archive, folder):
            folder.mkdir(parents=True, exist_ok=True)
            path = _fetch(archive, folder, progress=progress)
            unpack(path, root, nested=archive.nested, progress=progress)
            atomic_write(done, archive.checksum)
            path.unlink()


def _fetch(archive: Archive, folder: Path, *, progress: bool) -> Path:
    try:
        import pooch  # noqa: PLC0415  (optional)
    except ImportError:
        raise ConfigError('downloads need pooch: pip install "audiovq[download]"') from None
    pooch.get_logger().setLevel("WARNING")  # errors are ours to tell, and the bar tells the rest
    resuming = _Resuming(folder / f"{archive.file}.part", progress=progress)
    fetched = pooch.retrieve(
        archive.url, archive.checksum, fname=archive.file, path=folder, downloader=resuming
    )
    return Path(fetched)


@contextmanager
def _explained(archive: Archive, folder: Path) -> Iterator[None]:
    """Turn what goes wrong on the way into one line that says what to do."""
    try:
        yield
    except OSError as error:  # of the disk, and what requests raises
        raise ManifestError(
            f"cannot download {archive.url} into {folder}: {_reason(error)}; the same command goes "
            f"on where it stopped"
        ) from None
    except ValueError as error:  # pooch's word for a wrong sum; the file is gone by then
        if "hash" not in str(error):
            raise
        raise ManifestError(
            f"{archive.url} does not have the known sum {archive.checksum}: damaged on its way, or "
            f"not what was published; run the command again to fetch it anew"
        ) from None


def _reason(error: OSError) -> str:
    return " ".join(str(error.strerror or error).split())[:300]


class _Resuming:
    """A downloader for pooch that goes on where an earlier transfer stopped.

    Args:
        part: what has arrived; it outlives a failure, and whether it is right the sum tells.
        progress: show a bar on stderr.
    """

    def __init__(self, part: Path, *, progress: bool) -> None:
        self.part, self.progress = part, progress

    def __call__(self, url: str, output_file: str, _pooch: object) -> None:
        """Fetch a file, with a few attempts after every piece that arrives."""
        import requests  # noqa: PLC0415  (pooch's own dependency)

        broken = (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
        )
        attempts = 0
        while True:
            before = self._size()
            try:
                self._transfer(url)
                break
            except broken:
                attempts = 1 if self._size() > before else attempts + 1
                if attempts >= _ATTEMPTS:
                    raise
                time.sleep(_PAUSE * 2 ** (attempts - 1))
        self.part.replace(output_file)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _transfer(self, url: str) -> None:
        import requests  # noqa: PLC0415

        have = self._size()
        # Packed on the way, bytes would not be those of the file, whose number Range counts in.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                if _total(answer) == have:
                    return  # all of it had arrived
                self.part.unlink()
                raise requests.ConnectionError(f"{url} has changed since the transfer began")
            answer.raise_for_status()
            # A server that knows no ranges starts anew, and so must the file.
            given = answer.headers.get("Content-Range", "bytes 0-")
            if not given.startswith((f"bytes {have}-", "bytes 0-")):
                raise requests.RequestException(f"asked for bytes from {have} on, got {given}")
            self._write(answer, have if given.startswith(f"bytes {have}-") else 0)

    def _write(self, answer: Any, start: int) -> None:
        total = _total(answer)
        bar = tqdm(
            total=total, initial=start, desc=self.part.stem, unit="B", unit_scale=True,
            disable=not self.progress,
        )  # fmt: skip
        with bar, self.part.open("ab" if start else "wb") as file:
            for piece in answer.iter_content(_CHUNK):
                file.write(piece)
                bar.update(len(piece))


def _total(answer: Any) -> int | None:
    """Return the size of the whole file, if the server says it."""
    found = re.fullmatch(r"bytes .*/(\d+)", answer.headers.get("Content-Range", ""))
    length = found.group(1) if found else answer.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None
