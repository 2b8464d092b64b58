"""Audio files: look at the header, load, stream, save, and find out whether a file can be trusted.

Waveforms are float32 in [-1, 1]. Files are read with soundfile (wav, flac, ogg, mp3, any rate,
channels and subtype) and resampled with soxr. A path may name a member of an uncompressed tar:
`shard.tar/utterance.flac`, where `shard.tar` is a file.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import soundfile
import torch
from jaxtyping import Float
from torch import Tensor

from audiovq._audio import decoding
from audiovq._audio.containers import exists, opened, tar_members
from audiovq._audio.decoding import (
    MAX_CHANNELS,
    MAX_RATE,
    MIN_RATE,
    AudioInfo,
    Samples,
    check_rate,
    resampled,
    resampled_length,
)
from audiovq._audio.levels import Levels
from audiovq._audio.trust import SILENCE, Verdict, check
from audiovq.errors import AudioError
from audiovq.files import atomic_open

__all__ = [
    "MAX_CHANNELS",
    "MAX_RATE",
    "MIN_RATE",
    "SILENCE",
    "AudioInfo",
    "Levels",
    "Verdict",
    "blocks",
    "check",
    "exists",
    "load",
    "probe",
    "resample",
    "resampled_length",
    "save",
    "save_blocks",
    "tar_members",
]

_FORMATS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".mp3": "MP3"}


def probe(path: str | Path) -> AudioInfo:
    """Read a file's header without decoding.

    Raises:
        AudioError: missing, empty, not audio, or with a header no recording has (a rate outside
            1 to 384 kHz, over 32 channels, no samples).
    """
    with opened(path) as file:
        return decoding.facts(path, file)


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
    parts = blocks(path, sample_rate, start=start, num_samples=num_samples, channel=channel)
    return torch.cat(list(parts), dim=-1)


def blocks(
    path: str | Path,
    sample_rate: int | None = None,
    *,
    start: int = 0,
    num_samples: int | None = None,
    channel: int | None = None,
) -> Iterator[Float[Tensor, "1 1 _"]]:
    """Yield a file, or an excerpt, as mono waveform in blocks, in bounded memory.

    Joined, they are bit for bit what `load` returns for the same arguments.

    Raises:
        AudioError: as `load`; a damaged file may have given some blocks before.
    """
    if sample_rate is not None:
        check_rate(sample_rate)
    with opened(path) as file:
        info = decoding.facts(path, file)
        if num_samples is None and (why := decoding.damage(file, info)[0]):
            raise AudioError(f"{path} is cut off: {why}")
        parts: Iterator[Samples] = decoding.decode(file, info, start, num_samples, channel)
        if sample_rate is not None:
            parts = resampled(parts, info.sample_rate, sample_rate)
        for part in parts:
            yield torch.from_numpy(part).view(1, 1, -1)


def resample(x: Float[Tensor, "*B L"], from_rate: int, to_rate: int) -> Float[Tensor, "*B L_out"]:
    """Resample along time with soxr at high quality; ceil(L * to_rate / from_rate) samples."""
    check_rate(from_rate)
    check_rate(to_rate)
    rows = x.reshape(-1, x.shape[-1]).numpy()
    out = [np.concatenate(list(resampled(iter([r]), from_rate, to_rate))) for r in rows]
    return torch.from_numpy(np.stack(out)).view(*x.shape[:-1], -1)


def save(
    path: str | Path, x: Float[Tensor, "*B L"], sample_rate: int, subtype: str | None = None
) -> None:
    """Write one mono waveform in one step: a killed write leaves no half file.

    Args:
        path: the suffix decides the format: .wav, .flac, .ogg or .mp3; its folder must exist.
        x: one waveform, (L), (1, L) or (1, 1, L); values outside [-1, 1] are clipped.
        sample_rate: Hz.
        subtype: soundfile's name of the sample format, such as PCM_24 or OPUS; None: PCM_16 for
            wav and flac, the usual one for the others.

    Raises:
        AudioError: the format does not take this, x is empty or not finite, or the disk is full.
    """
    save_blocks(path, [x], sample_rate, subtype)


def save_blocks(
    path: str | Path,
    parts: Iterable[Float[Tensor, "*B _"]],
    sample_rate: int,
    subtype: str | None = None,
) -> int:
    """Write a mono waveform that arrives in blocks, in bounded memory; otherwise as `save`.

    Returns:
        the number of samples written.
    """
    path = Path(path)
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise AudioError(f"cannot write {path}: the suffix must be one of {', '.join(_FORMATS)}")
    check_rate(sample_rate)
    try:
        with atomic_open(path) as target, _Sink(target) as sink:
            written = 0
            with soundfile.SoundFile(sink, "w", sample_rate, 1, subtype, format=kind) as file:
                for part in parts:
                    written += part.numel()
                    file.write(_writable(part, path))
            if written == 0:
                raise AudioError(f"cannot write {path}: the waveform has no samples")
    except (OSError, RuntimeError, ValueError) as error:
        raise AudioError(f"cannot write {path}: {getattr(error, 'strerror', error)}") from None
    return written


def _writable(x: Float[Tensor, "*B _"], path: Path) -> Samples:
    if x.numel() != x.shape[-1]:
        raise AudioError(f"cannot write {path}: shape {tuple(x.shape)} is not one waveform (1,1,L)")
    samples: Samples = x.detach().cpu().float().reshape(-1).clamp(-1.0, 1.0).numpy()
    if not np.isfinite(samples).all():
        raise AudioError(f"cannot write {path}: NaN or infinity among the samples")
    return samples


class _Sink:
    """A file for libsndfile to write to; raises, at the end, the error that it would swallow."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell, self.read = file.seek, file.tell, file.read
        self._error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data) if self._error is None else 0
        except OSError as error:
            self._error = error
            return 0

    def __enter__(self) -> "_Sink":  # noqa: PYI034  (beartype refuses Self here)
        return self

    def __exit__(self, *_: object) -> None:
        if self._error is not None:
            raise self._error
