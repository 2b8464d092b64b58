"""Whether a file can be trusted: everything decoded, counted and looked at."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile

from audiovq._audio.containers import opened
from audiovq._audio.decoding import BLOCK_SAMPLES, AudioInfo, damage, facts, read
from audiovq._audio.levels import Levels, Meter
from audiovq.errors import AudioError

SILENCE = 1e-4  # a swing below -80 dBFS is silence
LOUDEST = 8.0  # float files may pass full scale a little; at +18 dB they are scaled otherwise
MAX_HOURS = 24.0
_FINE = 1 << 10  # samples: how exactly the last good sample of a damaged file is found


@dataclass(frozen=True)
class Verdict:
    """What became of a file: `ok`, `repaired` (a usable beginning) or `rejected`, and why."""

    status: Literal["ok", "repaired", "rejected"]
    reason: str
    info: AudioInfo | None
    num_samples: int
    digest: str = ""  # hash of the decoded samples: equal for equal audio
    levels: Levels | None = None


def check(path: str | Path, *, max_hours: float = MAX_HOURS) -> Verdict:
    """Decode a whole file in bounded memory and say whether it can be used.

    libsndfile reports no error for half a wav, mp3 or ogg, for NaN samples, or for absurd
    headers; so every sample is counted and looked at.

    Args:
        path: the file, or a member of a tar.
        max_hours: longer recordings are rejected.

    Returns:
        `repaired` when at least half of the stated samples decode; `num_samples` says how many.
    """
    try:
        with opened(path) as file:
            info = facts(path, file)
            if info.duration > max_hours * 3600:
                hours = f"{info.duration / 3600:.1f} h long; up to {max_hours:g} h is accepted"
                return Verdict("rejected", hours, info, 0)
            found = _scan(file, info, BLOCK_SAMPLES)
            hint, expected = damage(file, info)
        if found.error and found.count < info.num_samples:
            with opened(path) as file:  # once more, in small blocks, to find where it breaks
                found = replace(_scan(file, info, _FINE), error=found.error)
    except AudioError as error:
        return Verdict("rejected", _without(path, str(error)), None, 0)
    return _judge(info, found, hint, expected)


@dataclass(frozen=True)
class _Found:
    """What decoding gave: samples, their range, and the error that ended it early."""

    count: int = 0
    low: float = np.inf
    high: float = -np.inf
    finite: bool = True
    error: str = ""
    digest: str = ""
    levels: Levels | None = None


def _scan(file: soundfile.SoundFile, info: AudioInfo, size: int) -> _Found:
    count, low, high = 0, np.inf, -np.inf
    meter = Meter(info.sample_rate)
    hashed = hashlib.blake2b(repr((info.sample_rate, info.channels)).encode(), digest_size=16)
    try:
        for block in read(file, info.num_samples, info.path, size):
            if not np.isfinite(block).all():
                return _Found(count, low, high, finite=False)
            count += len(block)
            hashed.update(block.data)
            meter.add(block)
            low, high = min(low, float(block.min())), max(high, float(block.max()))
    except (AudioError, RuntimeError) as error:
        error_text = _without(info.path, str(error))
        return _Found(count, low, high, error=error_text, levels=meter.levels())
    return _Found(count, low, high, digest=hashed.hexdigest(), levels=meter.levels())


def _judge(info: AudioInfo, found: _Found, hint: str, expected: int) -> Verdict:
    peak = max(abs(found.low), abs(found.high))
    swing = peak if found.count == 1 else (found.high - found.low) / 2  # 0 for a constant offset
    decoded = f"{found.count} of {expected} samples decode"
    why = ""
    if not found.finite:
        why = "NaN or infinity among the samples"
    elif found.count < max(1, expected / 2):
        why = f"only {decoded}"
    elif swing < SILENCE:
        why = f"silent (nothing above {20 * np.log10(SILENCE):.0f} dBFS)"
    elif peak > LOUDEST:
        why = f"samples reach {peak:.4g}; they must lie in [-1, 1]: divide by the full scale"
    if why:
        return Verdict("rejected", why, info, 0)
    if found.count < info.num_samples:
        why = f"{decoded} ({found.error})"
        return Verdict("repaired", why, info, found.count, levels=found.levels)
    status: Literal["ok", "repaired"] = "repaired" if hint else "ok"
    return Verdict(status, hint, info, found.count, found.digest, found.levels)


def _without(path: str | Path, message: str) -> str:
    """Return a message without the path in front, which a listing gives in its own column."""
    return message.removeprefix(f"{path} ")
