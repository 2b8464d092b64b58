"""Audio files: look at the header, load, stream, save, and find out whether a file can be trusted.

Waveforms are float32 in [-1, 1]. Files are read with soundfile (wav, flac, ogg, mp3, any rate,
channels and subtype) and resampled with soxr. A path may name a member of an uncompressed tar:
`shard.tar/utterance.flac`, where `shard.tar` is a file.
"""

import io
import math
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
import torch
from jaxtyping import Float
from torch import Tensor

from audiovq.errors import AudioError
from audiovq.files import atomic_open

MIN_RATE, MAX_RATE, MAX_CHANNELS = 1_000, 384_000, 32
BLOCK_SAMPLES = 1 << 18  # samples decoded at a time: 16 s at 16 kHz, 1 MiB per channel
# Formats whose samples can be reached by seeking and come out the same as in one pass.
_SEEKABLE = {"WAV", "WAVEX", "FLAC", "AIFF", "W64", "RF64", "AU", "NIST"}
_FORMATS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".mp3": "MP3"}

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


def probe(path: str | Path) -> AudioInfo:
    """Read a file's header without decoding.

    Raises:
        AudioError: missing, empty, not audio, or with a header no recording has (a rate outside
            1 to 384 kHz, over 32 channels, no samples).
    """
    with _opened(path) as file:
        return _info(path, file)


def resampled_length(num_samples: int, from_rate: int, to_rate: int) -> int:
    """Return how many samples resampling gives: ceil(num_samples * to_rate / from_rate)."""
    return -(-num_samples * to_rate // from_rate)


def load(
    path: str | Path,
    sample_rate: int | None = None,
    *,
    start: int = 0,
    num_samples: int | None = None,
    channel: int | None = None,
) -> Float[Tensor, "1 1 L"]:
    """Load a file, or an excerpt of it, as one mono waveform.

    Args:
        path: wav, flac, ogg or mp3; or a member of a tar.
        sample_rate: rate to resample to (Hz); None keeps the file's.
        start: first sample, counted at the file's own rate.
        num_samples: samples at the file's own rate; None: to the end.
        channel: which channel, from 0; None mixes all down to their mean.

    Raises:
        AudioError: the file cannot be decoded, ends early, or holds NaN or infinity.
    """
    parts = list(_decode(path, start, num_samples, channel))
    x = np.concatenate([p for _, p in parts])
    rate = parts[0][0]
    if sample_rate is not None and sample_rate != rate:
        x = _fit(soxr.resample(x, rate, sample_rate), resampled_length(len(x), rate, sample_rate))
    return torch.from_numpy(x).view(1, 1, -1)


def blocks(
    path: str | Path,
    sample_rate: int | None = None,
    *,
    start: int = 0,
    num_samples: int | None = None,
    channel: int | None = None,
) -> Iterator[Float[Tensor, "1 1 _"]]:
    """Yield a file, or an excerpt, as mono waveform in blocks, in bounded memory.

    Joined, they have exactly the samples of `load` with the same arguments.
    """
    resampler, received, given, rate = None, 0, 0, 0
    for rate, x in _decode(path, start, num_samples, channel):
        received += len(x)
        if sample_rate is None or sample_rate == rate:
            yield torch.from_numpy(x).view(1, 1, -1)
            continue
        resampler = resampler or soxr.ResampleStream(rate, sample_rate, 1, dtype="float32")
        y = resampler.resample_chunk(x)
        given += len(y)
        if len(y):
            yield torch.from_numpy(y).view(1, 1, -1)
    if resampler is not None and sample_rate is not None:
        y = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
        y = _fit(y, resampled_length(received, rate, sample_rate) - given)
        if len(y):
            yield torch.from_numpy(y).view(1, 1, -1)


def resample(x: Float[Tensor, "*B L"], from_rate: int, to_rate: int) -> Float[Tensor, "*B L_out"]:
    """Resample along time with soxr at high quality; ceil(L * to_rate / from_rate) samples."""
    if from_rate == to_rate:
        return x
    rows = x.reshape(-1, x.shape[-1]).numpy()
    size = resampled_length(x.shape[-1], from_rate, to_rate)
    out = np.stack([_fit(soxr.resample(row, from_rate, to_rate), size) for row in rows])
    return torch.from_numpy(out).view(*x.shape[:-1], size)


def save(
    path: str | Path, x: Float[Tensor, "*B L"], sample_rate: int, subtype: str | None = None
) -> None:
    """Write a mono waveform in one step: a killed write leaves no half file.

    Args:
        path: the suffix decides the format: .wav, .flac, .ogg or .mp3.
        x: one waveform; values outside [-1, 1] are clipped.
        sample_rate: Hz.
        subtype: soundfile's name of the sample format; None: PCM_16, or what the format has.
    """
    path = Path(path)
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise AudioError(f"cannot write {path.name}: the suffix must be one of {list(_FORMATS)}")
    samples = x.detach().cpu().float().reshape(-1).clamp(-1.0, 1.0).numpy()
    buffer = io.BytesIO()
    try:
        soundfile.write(buffer, samples, sample_rate, format=kind, subtype=subtype)
    except (ValueError, TypeError, soundfile.LibsndfileError) as error:
        raise AudioError(f"cannot write {path}: {error}") from None
    with atomic_open(path) as file:
        file.write(buffer.getvalue())


@contextmanager
def _opened(path: str | Path) -> Iterator[soundfile.SoundFile]:
    """Open a file or tar member for decoding, turning every failure into an AudioError."""
    try:
        source, member = _resolve(Path(path))
        if member is None:
            if source.stat().st_size == 0:
                raise AudioError(f"{path} is empty (0 bytes)")
            with soundfile.SoundFile(str(source)) as file:
                yield file
        else:
            with source.open("rb") as tar:
                tar.seek(member[0])
                data = io.BytesIO(tar.read(member[1]))
            with soundfile.SoundFile(data) as file:
                yield file
    except (OSError, RuntimeError, tarfile.TarError) as error:  # LibsndfileError is a RuntimeError
        reason = getattr(error, "error_string", None) or getattr(error, "strerror", None) or error
        raise AudioError(f"{path} cannot be read as audio: {reason}") from None


def _resolve(path: Path) -> tuple[Path, tuple[int, int] | None]:
    """Return the file to open and, for a tar member, its offset and size in bytes."""
    if path.is_file():
        return path, None
    if path.is_dir():
        raise AudioError(f"{path} is a folder; a file is needed")
    for parent in path.parents:
        if parent.suffix == ".tar" and parent.is_file():
            name = path.relative_to(parent).as_posix()
            index = _tar_index(parent, parent.stat().st_mtime_ns)
            if name not in index:
                raise AudioError(f"{parent} has no member {name!r}")
            return parent, index[name]
    raise AudioError(f"{path} does not exist")


@lru_cache(maxsize=64)
def _tar_index(path: Path, _changed: int) -> dict[str, tuple[int, int]]:
    """Return offset and size of every file in an uncompressed tar."""
    with tarfile.open(path, "r:") as tar:
        return {m.name: (m.offset_data, m.size) for m in tar if m.isreg()}


def _info(path: str | Path, file: soundfile.SoundFile) -> AudioInfo:
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


def _decode(
    path: str | Path, start: int, num_samples: int | None, channel: int | None
) -> Iterator[tuple[int, Samples]]:
    """Yield (rate, mono samples) in blocks; refuses an excerpt the file does not hold."""
    with _opened(path) as file:
        info = _info(path, file)
        left = info.num_samples - start if num_samples is None else num_samples
        if start < 0 or left < 1 or start + left > info.num_samples:
            raise AudioError(
                f"{path} has {info.num_samples} samples; {left} from {start} on were asked for"
            )
        if channel is not None and not 0 <= channel < info.channels:
            raise AudioError(f"{path} has {info.channels} channel(s), no channel {channel}")
        if start and info.format in _SEEKABLE:
            file.seek(start)
            start = 0
        for block in _read(file, start + left, path):
            mono = np.ascontiguousarray(
                block.mean(axis=1, dtype=np.float32) if channel is None else block[:, channel]
            )
            mono = mono[start:]  # of formats that cannot seek, the beginning is decoded and dropped
            start = max(0, start - len(block))
            if len(mono):
                if not np.isfinite(mono).all():
                    raise AudioError(f"{path} holds NaN or infinity")
                yield info.sample_rate, mono


def _read(file: soundfile.SoundFile, samples: int, path: str | Path) -> Iterator[Samples]:
    while samples > 0:
        block = file.read(min(samples, BLOCK_SAMPLES), dtype="float32", always_2d=True)
        if len(block) == 0:
            raise AudioError(f"{path} ends {samples} samples before its header says")
        samples -= len(block)
        yield block


def _fit(x: Samples, size: int) -> Samples:
    """Cut or zero-fill to a length; resamplers are a sample or two off at the end."""
    return x[:size] if len(x) >= size else np.pad(x, (0, size - len(x)))


# ------------------------------------------------------------------- trust


@dataclass(frozen=True)
class Verdict:
    """What became of a file: `ok`, `repaired` (a usable beginning) or `rejected`, and why."""

    status: str
    reason: str
    info: AudioInfo | None
    num_samples: int


SILENCE = 1e-4  # a peak below -80 dBFS is silence
MAX_HOURS = 24.0


def check(path: str | Path, *, max_hours: float = MAX_HOURS) -> Verdict:
    """Decode a whole file in bounded memory and say whether it can be used.

    libsndfile reports no error for half a wav, mp3 or ogg, for NaN samples, or for absurd
    headers; so every sample is counted and looked at.

    Args:
        path: the file.
        max_hours: longer recordings are rejected.

    Returns:
        `repaired` when at least half of the stated samples decode; `num_samples` says how many.
    """
    try:
        with _opened(path) as file:
            info = _info(path, file)
            if info.duration > max_hours * 3600:
                return Verdict("rejected", f"longer than {max_hours:g} h", info, 0)
            count, peak, reason = _count(file, info, path)
    except AudioError as error:
        return Verdict("rejected", str(error), None, 0)
    why = ""
    if not math.isfinite(peak):
        why = "NaN or infinity among the samples"
    elif count < max(1, info.num_samples / 2):
        why = f"only {count} of {info.num_samples} samples decode"
    elif peak < SILENCE:
        why = f"silent (peak {peak:.1e})"
    if why:
        return Verdict("rejected", why, info, 0)
    return Verdict("repaired" if count < info.num_samples else "ok", reason, info, count)


def _count(file: soundfile.SoundFile, info: AudioInfo, path: str | Path) -> tuple[int, float, str]:
    """Return the samples that decode, their peak (NaN if any is), and why it stopped early."""
    count, peak = 0, 0.0
    try:
        for block in _read(file, info.num_samples, path):
            count += len(block)
            peak = max(peak, float(np.abs(block).max())) if np.isfinite(block).all() else math.nan
            if math.isnan(peak):
                break
    except (AudioError, RuntimeError) as error:
        return count, peak, f"{count} of {info.num_samples} samples decode ({error})"
    return count, peak, ""
