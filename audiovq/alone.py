"""One process at a time in a folder."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from audiovq.errors import CheckpointError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


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
    if fcntl is None:
        yield None
        return
    descriptor = os.open(folder, os.O_RDONLY)
    _held.add(descriptor)
    try:
        # some network file systems cannot lock; the work is safe to do twice, only wasteful
        with contextlib.suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CheckpointError(
                    f"another process is {work} {folder}: wait for it, or choose another folder"
                ) from None
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
