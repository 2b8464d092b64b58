"""Which piece of which recording a training sample is: pure functions of (seed, epoch, index).

An epoch visits every slot once, in an order drawn from (seed, epoch). A recording has as many
slots as segments fit into it, so that every second of speech is heard about equally often; where
in its recording a segment starts is drawn anew each time.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from pydantic import Field, field_validator
from torch import Tensor

from audiovq.config import Config
from audiovq.data.manifest import Record


class AugmentConfig(Config):
    """Changes to the waveform that keep what is said; drawn for each sample."""

    gain_db: tuple[float, float] = Field((-6.0, 3.0), description="range of the gain (dB)")
    flip_polarity: bool = Field(True, description="turn every second waveform upside down")

    @field_validator("gain_db")
    @classmethod
    def _is_a_range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not -60.0 <= value[0] <= value[1] <= 60.0:
            raise ValueError("must be [low, high] in dB, from -60 to 60")
        return value


@dataclass(frozen=True)
class Draw:
    """One training sample.

    Attributes:
        record: index of the recording.
        start: first sample within the record, at the record's rate.
        num_samples: samples at the record's rate.
        key: 63-bit integer from which all randomness about this sample derives.
    """

    record: int
    start: int
    num_samples: int
    key: int


def item_key(seed: int, epoch: int, index: int) -> int:
    """Return the 63-bit key of a sample, the same on every machine."""
    digest = hashlib.sha256(f"{seed} {epoch} {index}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


class Segments:
    """The samples of a corpus, by one running number that never ends.

    Args:
        records: the recordings.
        seconds: length of a segment.
        seed: decides order and positions.
    """

    def __init__(self, records: Sequence[Record], seconds: float, seed: int) -> None:
        self.seconds, self.seed = seconds, seed
        self.lengths = np.array([r.num_samples for r in records], np.int64)
        self.rates = np.array([r.sample_rate for r in records], np.int64)
        slots = np.maximum(1, np.round(self.lengths / self.rates / seconds)).astype(np.int64)
        self._slot_record = np.repeat(np.arange(len(records)), slots)
        self._order = lru_cache(maxsize=2)(self._permutation)

    def __len__(self) -> int:
        """Number of samples in an epoch."""
        return len(self._slot_record)

    def draw(self, number: int) -> Draw:
        """Return the sample of a running number: epoch number // len, index number % len."""
        epoch, index = divmod(number, len(self))
        record = int(self._slot_record[self._order(epoch)[index]])
        key = item_key(self.seed, epoch, index)
        size = min(
            int(self.lengths[record]), math.ceil(self.seconds * int(self.rates[record]) - 1e-6)
        )
        room = int(self.lengths[record]) - size + 1
        return Draw(record, key % room, size, key)

    def _permutation(self, epoch: int) -> npt.NDArray[np.int64]:
        key = np.array([self.seed, epoch], np.uint64)
        return np.random.Generator(np.random.Philox(key=key)).permutation(len(self))


def augment(x: Float[Tensor, "1 1 L"], config: AugmentConfig, key: int) -> Float[Tensor, "1 1 L"]:
    """Return the waveform with gain and polarity drawn from the key; never beyond full scale."""
    draws = np.random.Generator(np.random.Philox(key=np.array([key, 1], np.uint64))).random(2)
    low, high = config.gain_db
    gain = 10.0 ** ((low + (high - low) * float(draws[0])) / 20.0)
    peak = float(x.abs().max())
    gain = min(gain, max(1.0, 1.0 / peak)) if peak > 0 else gain
    sign = -1.0 if config.flip_polarity and draws[1] < 0.5 else 1.0
    return x * torch.tensor(gain * sign, dtype=x.dtype)
