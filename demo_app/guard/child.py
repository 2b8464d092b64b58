"""Decodes one recording, in a process of its own: a program, which imports numpy and soundfile.

The file is standard input, so that no name is needed; limits are the one argument, as JSON; mono
float32 samples go to standard output, which is a file. Whatever goes wrong is an exit code below:
the text of a process that a hostile file may have taken over is shown to nobody.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

OK, NOT_AUDIO, FORMAT, TOO_LONG, CUT_OFF, NOT_FINITE, EMPTY, LIMITS = 0, 10, 11, 12, 13, 14, 15, 16
FORMATS = {"WAV", "WAVEX", "FLAC", "OGG", "MP3"}
BLOCK = 1 << 15  # samples decoded at a time
UNKNOWN = 1 << 62  # libsndfile's number of samples where the header leaves it open, or more


def confine(memory: int, seconds: int, output: int) -> None:
    """Limit what this process may use, before it sees a byte of the file.

    Args:
        memory: address space (bytes).
        seconds: processor time; twice that in all (s).
        output: size of anything it writes (bytes).
    """
    if os.name != "posix":  # the parent's clock remains
        return
    import resource  # noqa: PLC0415  (there is none elsewhere)

    for what, limit in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, output),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 32),
    ):
        resource.setrlimit(what, (limit, limit))
    signal.alarm(2 * seconds)


class EndedError(Exception):
    """Decoding ends here; `code` says why."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def opened(limits: dict[str, Any]) -> Any:
    """Return standard input as a sound file whose header is within the limits."""
    import soundfile  # noqa: PLC0415  (within the limits)

    class Sequential(soundfile.SoundFile):  # type: ignore[misc]
        """Read on and on: seeking after every read, as is usual, spoils an mp3."""

        def seekable(self) -> bool:
            return False

    try:
        file = Sequential(0, closefd=False)
    except (soundfile.LibsndfileError, RuntimeError, TypeError):
        raise EndedError(NOT_AUDIO) from None
    if file.format not in FORMATS:
        raise EndedError(FORMAT)
    rates, channels = (limits["min_rate"], limits["max_rate"]), limits["max_channels"]
    if not (rates[0] <= file.samplerate <= rates[1] and 1 <= file.channels <= channels):
        raise EndedError(LIMITS)
    return file


def blocks(file: Any, longest: int) -> Iterator[Any]:
    """Yield all samples, mono; their number is counted, whatever the header says."""
    import numpy as np  # noqa: PLC0415

    stated = file.frames if file.frames < UNKNOWN else 0
    count = 0
    while stated <= longest >= count:
        try:
            block = file.read(BLOCK, dtype="float32", always_2d=True)
        except RuntimeError:  # soundfile's own errors are such
            raise EndedError(CUT_OFF) from None
        if len(block) == 0:
            break
        if not np.isfinite(block).all():
            raise EndedError(NOT_FINITE)
        count += len(block)
        yield block.mean(axis=1, dtype=np.float32).astype("<f4").tobytes()
    if max(stated, count) > longest:
        raise EndedError(TOO_LONG)
    if count == 0:
        raise EndedError(EMPTY)
    if count < stated:
        raise EndedError(CUT_OFF)


def decode(limits: dict[str, Any]) -> int:
    """Decode standard input to standard output; return an exit code."""
    try:
        file = opened(limits)
        most = limits["max_decoded"] // (4 * file.channels)
        parts = list(blocks(file, min(int(limits["max_seconds"] * file.samplerate), most)))
    except EndedError as ended:
        return ended.code
    with os.fdopen(1, "wb", closefd=False) as out:
        out.write(file.samplerate.to_bytes(4, "little"))
        out.writelines(parts)
    return OK


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    confine(given["memory"], given["seconds"], given["output"])
    code = decode(given)
    os._exit(code)
