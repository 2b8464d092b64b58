"""Changes to a training waveform that keep what is said: pure functions of the sample's key."""

import math

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, field_validator
from torch import Tensor

from audiovq.config import Config
from audiovq.data.corruption import CorruptionConfig

_MOST_DB = 60.0
NOISE = 0x5DEECE66D  # turns a sample's key into that of its noise, apart from its corruption's


class AugmentConfig(Config):
    """Changes to the waveform, heard and reconstructed alike; drawn for each sample."""

    gain_db: tuple[float, float] = Field((-6.0, 3.0), description="range of the gain (dB)")
    flip_polarity: bool = Field(True, description="turn every second waveform upside down")
    level_db: float | None = Field(
        None,
        ge=-60,
        le=0,
        description="rms that each segment gets before the gain (dB of full "
        "scale); null: as recorded",
    )
    skip_silence_db: float | None = Field(
        None,
        ge=-120,
        le=0,
        description="a segment whose rms is below this is drawn elsewhere in "
        "its recording, four times at most (dB of full scale); null: silence is kept",
    )
    speeds: tuple[float, ...] = Field(
        (1.0,),
        min_length=1,
        description="factors of tempo and pitch, one drawn per segment, such as [0.9, 1.0, 1.1]",
    )
    noise: CorruptionConfig = Field(
        CorruptionConfig(), description="noise that the target has, too (see data.corruption)"
    )

    @field_validator("gain_db")
    @classmethod
    def _is_a_range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not -_MOST_DB <= value[0] <= value[1] <= _MOST_DB:
            raise ValueError("must be [low, high] in dB, from -60 to 60")
        return value

    @field_validator("speeds")
    @classmethod
    def _are_speeds(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0.5 <= v <= 2.0 for v in value):
            raise ValueError("must be factors from 0.5 to 2")
        return value


def level(x: Float[Tensor, "1 1 L"]) -> float:
    """Return the rms of a waveform (dB of full scale); -inf for silence."""
    power = float(x.double().square().mean())
    return 10.0 * math.log10(power) if power > 0 else -math.inf


def augment(x: Float[Tensor, "1 1 L"], config: AugmentConfig, key: int) -> Float[Tensor, "1 1 L"]:
    """Return the waveform with gain and polarity drawn from the key; never beyond full scale."""
    draws = np.random.Generator(np.random.Philox(key=np.array([key, 1], np.uint64))).random(2)
    low, high = config.gain_db
    gain = 10.0 ** ((low + (high - low) * float(draws[0])) / 20.0)
    loudness = level(x) if config.level_db is not None else -math.inf
    if config.level_db is not None and loudness > -math.inf:
        gain *= 10.0 ** ((config.level_db - loudness) / 20.0)
    peak = float(x.abs().max())
    gain = min(gain, max(1.0, 1.0 / peak)) if peak > 0 else gain
    sign = -1.0 if config.flip_polarity and draws[1] < 0.5 else 1.0
    return x * torch.tensor(gain * sign, dtype=x.dtype)
