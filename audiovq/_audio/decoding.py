"""From an open audio file to blocks of mono samples, with what its headers hide."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from audiovq.errors import AudioError

MIN_RATE, MAX_RATE, MAX_CHANNELS = 1_000, 384_000, 32
BLOCK_SAMPLES = 1 << 18  # samples decoded at a time: 16 s at 16 kHz, 1 MiB per channel
# Formats whose samples can be reached by seeking and come out the same as in one pass.
_SEEKABLE = {"WAV", "WAVEX", "FLAC", "AIFF", "W64", "RF64", "AU", "NIST"}

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says; nothing of it is checked against the content."""

    path: str
    sample_rate: int
    num_samples: int
    channels: int
    format: str
    subtype: str

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate


def resampled_length(num_samples: int, from_rate: int, to_rate: int) -> int:
    """Return how many samples resampling gives: ceil(num_samples * to_rate / from_rate)."""
    return -(-num_samples * to_rate // from_rate)


def check_rate(sample_rate: int) -> None:
    """Refuse a rate that no recording has."""
    if not MIN_RATE <= sample_rate <= MAX_RATE:
        raise AudioError(f"a rate of {sample_rate} Hz given; {MIN_RATE} to {MAX_RATE} is accepted")


def facts(path: str | Path, file: soundfile.SoundFile) -> AudioInfo:
    """Return what the header says, refusing what no recording has."""
    info = AudioInfo(
        str(path), file.samplerate, file.frames, file.channels, file.format, file.subtype
    )
    if not MIN_RATE <= info.sample_rate <= MAX_RATE:
        raise AudioError(
            f"{path} states a rate of {info.sample_rate} Hz; {MIN_RATE} to {MAX_RATE} is accepted"
        )
    if info.channels > MAX_CHANNELS:
        raise AudioError(f"{path} states {info.channels} channels; up to {MAX_CHANNELS} accepted")
    if info.num_samples == 0:
        raise AudioError(f"{path} has a header but no samples")
    return info


def damage(file: soundfile.SoundFile, info: AudioInfo) -> tuple[str, int]:
    """Return what the headers give away of a file that was cut off, where decoding would not.

    libsndfile quietly corrects the length of a half wav or ogg, and says so in its log alone.

    Returns:
        what is wrong ("" if nothing), and how many samples there should be, as far as is known.
    """
    log = file.extra_info
    if "lacks an end-of-stream" in log or "Junk after the last page" in log:
        return f"its end is missing after {info.num_samples} samples", info.num_samples
    found = re.search(r"^data : (\d+) \(should be (\d+)\)", log, re.MULTILINE)
    stated, present = (int(n) for n in found.groups()) if found else (0, 0)
    # Writers that stream leave 0 or the largest number there, which says nothing.
    if present < stated < 0x7FFFF000:
        total = round(info.num_samples * stated / max(1, present))
        return f"only {info.num_samples} of {total} samples are there", total
    return "", info.num_samples


def decode(
    file: soundfile.SoundFile,
    info: AudioInfo,
    start: int,
    num_samples: int | None,
    channel: int | None,
) -> Iterator[Samples]:
    """Yield mono samples in blocks; refuses an excerpt that the file does not hold."""
    left = info.num_samples - start if num_samples is None else num_samples
    if start < 0 or left < 1 or start + left > info.num_samples:
        raise AudioError(
            f"{info.path} has {info.num_samples} samples; {left} from {start} on were asked for"
        )
    if channel is not None and not 0 <= channel < info.channels:
        raise AudioError(f"{info.path} has {info.channels} channel(s), no channel {channel}")
    if start and info.format in _SEEKABLE:
        file.seek(start)
        start = 0
    for block in read(file, start + left, info.path):
        dropped = min(start, len(block))  # of formats that cannot seek, the start is decoded too
        start -= dropped
        kept = block[dropped:]
        if len(kept) == 0:
            continue
        if not np.isfinite(kept).all():
            raise AudioError(f"{info.path} holds NaN or infinity")
        mono = kept.mean(axis=1, dtype=np.float32) if channel is None else kept[:, channel]
        yield np.ascontiguousarray(mono)


def read(
    file: soundfile.SoundFile, samples: int, path: str, size: int = BLOCK_SAMPLES
) -> Iterator[Samples]:
    """Yield so many samples of all channels, in blocks; refuses a file that ends before."""
    while samples > 0:
        block = file.read(min(samples, size), dtype="float32", always_2d=True)
        if len(block) == 0:
            raise AudioError(f"{path} ends {samples} samples before its header says")
        samples -= len(block)
        yield block


def resampled(parts: Iterator[Samples], from_rate: int, to_rate: int) -> Iterator[Samples]:
    """Resample a stream of samples; the same bits however it is cut into blocks."""
    if from_rate == to_rate:
        yield from parts
        return
    stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32")
    received = given = 0
    for x in parts:
        received += len(x)
        y = stream.resample_chunk(x)
        given += len(y)
        if len(y):
            yield y
    # soxr rounds the length; zeros behind the end let it compute the last sample that ceil asks for
    behind = np.zeros(-(-from_rate // to_rate) + 1, np.float32)
    left = resampled_length(received, from_rate, to_rate) - given
    y = stream.resample_chunk(behind, last=True)[:left]
    assert len(y) == left, (received, from_rate, to_rate, given, len(y))
    if left:
        yield y
