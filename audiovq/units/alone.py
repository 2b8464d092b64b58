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
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder within the block, where the file system can.

    The lock is on the folder itself: it leaves no file, and ends with the process however that
    dies.

    Raises:
        CheckpointError: another process is at work there.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # some network file systems cannot lock; the work is safe to do twice, only wasteful
        with contextlib.suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CheckpointError(
                    f"another process is extracting into {folder}: wait for it, or choose "
                    f"another folder"
                ) from None
        yield
    finally:
        os.close(descriptor)
