"""Who may work in a folder: one process alone, or several that know of each other."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from audiovq.errors import CheckpointError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PATIENCE = 30.0  # seconds that one of several waits for another that tidies up
_PAUSE = 0.2


@contextlib.contextmanager
def alone(folder: Path, work: str) -> Iterator[int | None]:
    """Keep other processes out of a folder within the block, where the file system can.

    The lock is on the folder itself: it leaves no file, and ends with the process however that
    dies, and with the last child that was given the descriptor.

    Args:
        folder: must exist.
        work: what is done there, for the error, as `extracting into`.

    Yields:
        the lock's file descriptor; None where there is none.

    Raises:
        CheckpointError: another process is at work there.
    """
    with _opened(folder) as descriptor:
        if descriptor is not None and not _lock(descriptor, exclusive=True):
            _refuse(folder, work)
        yield descriptor


@contextlib.contextmanager
def among(folder: Path, work: str, first: Callable[[], object]) -> Iterator[None]:
    """Share a folder with processes that call this, and keep out those that want it `alone`.

    Args:
        folder: must exist.
        work: what is done there, for the error.
        first: called by whoever comes while nobody else is there.

    Raises:
        CheckpointError: another process has the folder for itself.
    """
    with _opened(folder) as descriptor:
        if descriptor is not None:
            if _lock(descriptor, exclusive=True) and can_lock(folder):
                first()
            patience = time.monotonic() + _PATIENCE
            while not _lock(descriptor, exclusive=False):
                if time.monotonic() > patience:
                    _refuse(folder, work)
                time.sleep(_PAUSE)
        yield


@contextlib.contextmanager
def if_alone(folder: Path) -> Iterator[bool]:
    """Yield whether nobody else is in the folder; if so nobody comes in within the block."""
    with _opened(folder) as descriptor:
        yield descriptor is None or _lock(descriptor, exclusive=True)


@contextlib.contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Wait for whoever is in a folder, then keep others out of it, where the file system can."""
    with _opened(folder) as descriptor:
        if descriptor is not None:
            _lock(descriptor, exclusive=True, wait=True)
        yield


def can_lock(folder: Path) -> bool:
    """Return whether the file system knows locks; some of networks do not."""
    if fcntl is None:
        return False
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _lock(descriptor: int, *, exclusive: bool, wait: bool = False) -> bool:
    """Return whether the lock was got; also where there are none.

    Work without locks is safe to do twice, only wasteful.
    """
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    with contextlib.suppress(OSError):
        try:
            fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _refuse(folder: Path, work: str) -> None:
    raise CheckpointError(
        f"another process is {work} {folder}: wait for it, or choose another folder"
    )


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int | None]:
    if fcntl is None:
        yield None
        return
    descriptor = os.open(folder, os.O_RDONLY)
    _held.add(descriptor)
    try:
        yield descriptor
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


_held: set[int] = set()


def _let_go() -> None:
    """Close what a forked child inherited: a loader's worker may outlive its killed trainer."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):  # not asked by subprocess.Popen, which is given descriptors
    os.register_at_fork(after_in_child=_let_go)
