"""The folder that visitors' files are in: how full it is, and what has been there long enough."""

import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from ..settings import Settings

_PREFIX = "audiovq-demo-"
_LOCK = "lock"


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Make a folder that nobody else may read; it is gone afterwards, whatever happened.

    Those of servers that were killed, and could not tidy up, are removed first.
    """
    _remove_abandoned(Path(tempfile.gettempdir()))
    made = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
    with (made / _LOCK).open("wb") as lock:
        _try_lock(lock.fileno())
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)


class Cache:
    """Files that visitors brought or were given, all below one folder.

    Args:
        root: that folder.
        settings: how much may be in it, and for how long.
    """

    def __init__(self, root: Path, settings: Settings) -> None:
        self.root = root
        self._settings = settings
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sweep_on, daemon=True, name="audiovq-sweeper")

    def holds(self, path: str) -> bool:
        """Return whether a path, links followed, lies inside."""
        try:
            found = Path(path).resolve()
        except (OSError, ValueError, RuntimeError):  # too long, a NUL, links in a circle
            return False
        return Path(path).is_absolute() and self.root in found.parents

    def room(self, size: int) -> bool:
        """Return whether so many bytes more may be stored, after a clean-up if need be."""
        limit = self._settings.cache_bytes
        if self.size() + size <= limit:
            return True
        self.sweep()
        return self.size() + size <= limit

    def size(self) -> int:
        """Return the size of all files (bytes)."""
        return sum(size for _, size, _ in self._files())

    def sweep(self) -> int:
        """Remove files that were not used for `keep_seconds`, and empty folders; return how many.

        gradio removes those it knows of; this also takes what a broken upload leaves behind.
        """
        oldest = time.time() - self._settings.keep_seconds
        old = [path for path, _, used in self._files() if used < oldest]
        for path in old:
            with contextlib.suppress(OSError):
                path.unlink()
        for parent, _, _ in os.walk(self.root, topdown=False):
            if Path(parent) != self.root:
                with contextlib.suppress(OSError):  # not empty, or just being filled
                    if Path(parent).stat().st_mtime < oldest:
                        Path(parent).rmdir()
        return len(old)

    def start(self) -> None:
        """Clean up every `sweep_seconds` from now on, until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """End the clean-ups."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _sweep_on(self) -> None:
        while not self._stop.wait(self._settings.sweep_seconds):
            self.sweep()

    def _files(self) -> Iterator[tuple[Path, int, float]]:
        """Yield each file with its size (bytes) and when it was last used (s)."""
        for parent, _, names in os.walk(self.root):
            for name in names:
                path = Path(parent) / name
                with contextlib.suppress(OSError):  # gone in the meantime
                    facts = path.lstat()
                    yield path, facts.st_size, max(facts.st_mtime, facts.st_ctime)


def _remove_abandoned(parent: Path) -> None:
    for old in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if old.is_symlink() or not hasattr(os, "getuid") or old.stat().st_uid != os.getuid():
                continue
            with (old / _LOCK).open("rb") as lock:
                if not _try_lock(lock.fileno()):
                    continue
                shutil.rmtree(old, ignore_errors=True)


def _try_lock(descriptor: int) -> bool:
    """Take a lock that ends with this process; False if another has it."""
    try:
        import fcntl  # noqa: PLC0415  (there is none on Windows)
    except ImportError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
