"""An upload becomes samples here and nowhere else: its header first, then in a child process."""

import contextlib
import json
import logging
import os
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import torch

from audiovq.errors import AudioError, ConfigError

from ..settings import Settings
from ..sound import Recording
from . import child, probe

_LOG = logging.getLogger("audiovq.demo")
_PROGRAM = Path(child.__file__)
_RUNNING: set[subprocess.Popen[bytes]] = set()
_SLOTS: dict[int, threading.BoundedSemaphore] = {}
_WAYS = "export it again as 16-bit WAV"
_REASONS = {
    child.NOT_AUDIO: f"no sound was found in the file: {_WAYS}",
    child.FORMAT: "the file is no WAV, FLAC, Ogg or MP3: convert it to one of them",
    child.CUT_OFF: f"the file is cut off or damaged: {_WAYS}",
    child.NOT_FINITE: f"the file holds NaN or infinity: {_WAYS}",
    child.EMPTY: "the file has a header but no samples: choose another",
}


def read(path: str | Path | None, settings: Settings) -> Recording:
    """Return an upload as mono sound at its own rate.

    The header is looked at first; then another process decodes the file, with limits on memory,
    time and size, so that neither a bomb nor a bug in a decoder reaches this one.

    Args:
        path: of the file, as gradio gives it; None: nothing was uploaded.
        settings: the limits.

    Raises:
        AudioError: one line that says what is wrong and what to do; names no path.
        ConfigError: the server is busy with other uploads.
    """
    if not path:
        raise AudioError("no recording yet: upload one, record one, or choose an example")
    with _opened(Path(path)) as file:
        probe.check(file, settings)
        with _slot(settings):
            samples, rate = _decode(file, settings)
    with contextlib.suppress(OSError):
        os.utime(path)  # what is used is kept a while longer
    return Recording(samples, rate, _name(Path(path)))


def stop_all() -> None:
    """End the decoding processes that are still there."""
    for process in list(_RUNNING):
        process.kill()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a regular file, which is no link; a pipe or a device does not hold us up."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError):
        raise AudioError("the file is not there any more: upload it again") from None
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123  (a descriptor)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise AudioError("only a file can be read: upload a recording")
        yield file


@contextlib.contextmanager
def _slot(settings: Settings) -> Iterator[None]:
    """Wait for one of a few places; so many uploads are decoded at a time."""
    slots = _SLOTS.setdefault(settings.decoders, threading.BoundedSemaphore(settings.decoders))
    if not slots.acquire(timeout=2 * settings.decode_seconds):
        raise ConfigError("the demo is busy with other uploads: try again in a minute")
    try:
        yield
    finally:
        slots.release()


def _decode(file: IO[bytes], settings: Settings) -> tuple[torch.Tensor, int]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        code = _run(file, out, errors, settings)
        if code != child.OK:
            errors.seek(0)
            _LOG.info("decoding ended with %s: %r", code, errors.read(2000))
            raise AudioError(_reason(code, settings))
        out.seek(0)
        rate = np.frombuffer(out.read(4), "<u4")
        samples = np.frombuffer(out.read(settings.max_decoded), "<f4").astype(np.float32)
    if len(rate) != 1 or len(samples) == 0 or not np.isfinite(samples).all():
        raise AudioError(_reason(child.NOT_AUDIO, settings))  # no honest process ends so
    return torch.from_numpy(samples).view(1, 1, -1), int(rate[0])


def _run(file: IO[bytes], out: IO[bytes], errors: IO[bytes], settings: Settings) -> int:
    """Run the child to its end; return its exit code, negative for a signal."""
    limits = {
        "memory": settings.decode_memory,
        "seconds": settings.decode_seconds,
        "output": settings.max_decoded + 4,
        **settings.model_dump(include={"min_rate", "max_rate", "max_channels"}),
        **settings.model_dump(include={"max_seconds", "max_decoded"}),
    }
    process = subprocess.Popen(  # noqa: S603  (this interpreter, our own file)
        [sys.executable, "-P", "-S", str(_PROGRAM), json.dumps(limits)],
        stdin=file, stdout=out, stderr=errors, cwd=os.sep, env=_environment(),
        start_new_session=True,
    )  # fmt: skip
    _RUNNING.add(process)
    try:
        return process.wait(timeout=2 * settings.decode_seconds + 5)
    except subprocess.TimeoutExpired:
        return -9
    finally:
        process.kill()
        process.wait()
        _RUNNING.discard(process)


def _environment() -> dict[str, str]:
    """Return what the child needs: where packages are, and no secrets."""
    kept = {k: os.environ[k] for k in ("LD_LIBRARY_PATH", "SYSTEMROOT") if k in os.environ}
    paths = os.pathsep.join(str(Path(p).absolute()) for p in sys.path if p)
    return kept | {"PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _reason(code: int, settings: Settings) -> str:
    if code in {child.TOO_LONG, child.LIMITS}:
        return (
            f"the recording is longer or larger than accepted: up to {settings.max_seconds:g} s, "
            f"{settings.max_rate} Hz and {settings.max_channels} channels"
        )
    found = _REASONS.get(code)
    return found or f"the file could not be decoded with the time and memory allowed: {_WAYS}"


def _name(path: Path) -> str:
    """Return a name to show and to download by: letters, digits and a few signs."""
    kept = "".join(c for c in path.stem if c.isalnum() or c in " ._-")
    return kept.strip(" .")[:60] or "recording"
