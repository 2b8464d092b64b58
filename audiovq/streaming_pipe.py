"""Sound from a pipe, in blocks: raw samples, or a WAV file whose end is not known yet."""

import struct
from collections.abc import Callable, Iterator
from io import BufferedIOBase

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from audiovq._audio.decoding import MAX_CHANNELS, check_rate
from audiovq._audio.pipe_format import PipeFormat
from audiovq.errors import AudioError, ConfigError

_MOST_HEADER = 1 << 20  # bytes of chunks before the samples
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE  # wFormatTag of a WAV file


def pipe_blocks(
    pipe: BufferedIOBase, form: PipeFormat, rate: int | None, wanted: int, size: int
) -> Iterator[Float[Tensor, "1 1 _"]]:
    """Yield what comes through a pipe in blocks; the last one may be shorter.

    Args:
        pipe: read until it ends; a sample that it ends within is dropped.
        form: raw samples of one channel, or wav of 16-bit or float samples, whose channels are
            mixed to their mean.
        rate: of raw samples (Hz); None: the wanted one.
        wanted: rate that is accepted (Hz).
        size: samples per block.

    Raises:
        AudioError: another rate, no such WAV file, or no sample arrives.
    """
    channels = 1
    if form is PipeFormat.wav:
        if rate is not None:
            raise ConfigError(f"--rate {rate} given; a WAV file states its own")
        form, rate, channels = _wav_header(pipe)
    if rate is not None and rate != wanted:
        check_rate(rate)
        raise AudioError(
            f"samples of {rate} Hz come through the pipe, and the model takes {wanted} Hz: convert "
            f"them before, as `ffmpeg -i INPUT -ac 1 -ar {wanted} -f s16le -` does"
        )
    yield from _raw_blocks(pipe, form, channels, size)


def _raw_blocks(
    pipe: BufferedIOBase, form: PipeFormat, channels: int, size: int
) -> Iterator[Float[Tensor, "1 1 _"]]:
    kind, scale = ("<i2", 1 / 32768) if form is PipeFormat.s16le else ("<f4", 1.0)
    width = np.dtype(kind).itemsize * channels
    while data := pipe.read(size * width):
        if whole := len(data) // width * width:
            values = np.frombuffer(data[:whole], kind).astype(np.float32) * np.float32(scale)
            x = torch.from_numpy(values.reshape(-1, channels))
            yield (x[:, 0] if channels == 1 else x.mean(dim=1)).view(1, 1, -1)


def _wav_header(pipe: BufferedIOBase) -> tuple[PipeFormat, int, int]:
    """Read up to the samples; return their format, rate (Hz) and channels."""
    read = _reader(pipe)
    start = read(12)
    if start[:4] not in (b"RIFF", b"RF64") or start[8:] != b"WAVE":
        raise AudioError(
            "what comes through the pipe is no WAV file: for raw samples say --format s16le or "
            "--format f32le"
        )
    found: tuple[PipeFormat, int, int] | None = None
    while True:
        name, length = struct.unpack("<4sI", read(8))
        if name == b"data":
            if found is None:
                raise AudioError("the WAV file of the pipe does not say what its samples are")
            return found
        body = read(length + length % 2)
        if name == b"fmt ":
            found = _wav_format(body)


def _reader(pipe: BufferedIOBase) -> Callable[[int], bytes]:
    """Return what reads exactly so many bytes of a header that is not too large."""
    left = _MOST_HEADER

    def read(number: int) -> bytes:
        nonlocal left
        left -= number
        data = b"" if left < 0 else pipe.read(number)
        if len(data) < number:
            raise AudioError("the pipe ends, or its WAV header does not, before the first sample")
        return data

    return read


def _wav_format(body: bytes) -> tuple[PipeFormat, int, int]:
    if len(body) < 16:
        raise AudioError("the WAV header of the pipe is damaged")
    tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", body[:16])
    if tag == _EXTENSIBLE and len(body) >= 26:
        (tag,) = struct.unpack("<H", body[24:26])  # the first bytes of its subformat
    forms = {(_PCM, 16): PipeFormat.s16le, (_FLOAT, 32): PipeFormat.f32le}
    if (tag, bits) not in forms or not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(
            f"{channels} channel(s) of {bits} bits (WAV format {tag}) come through the pipe; 1 to "
            f"{MAX_CHANNELS} of 16-bit integers or 32-bit floats are accepted"
        )
    return forms[tag, bits], rate, channels
