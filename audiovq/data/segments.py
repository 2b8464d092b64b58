"""Which piece of which recording a training sample is: pure functions of (seed, epoch, index).

An epoch visits every slot once, in an order drawn from (seed, epoch). A recording has as many
slots as segments fit into it, so that every second of speech is heard about equally often; where
in its recording a segment starts is drawn anew each time.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audiovq.data.manifest import Record


@dataclass(frozen=True)
class Draw:
    """One training sample.

    Attributes:
        record: index of the recording.
        start: first sample within the record, at the record's rate.
        num_samples: samples at the record's rate.
        key: 63-bit integer from which all randomness about this sample derives.
        speed: how much faster it is to be played than it was recorded.
    """

    record: int
    start: int
    num_samples: int
    key: int
    speed: float = 1.0


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
        speeds: of which each sample gets one; a faster one takes more of its recording.
    """

    def __init__(
        self, records: Sequence[Record], seconds: float, seed: int, speeds: Sequence[float] = (1.0,)
    ) -> None:
        self.seconds, self.seed, self.speeds = seconds, seed, tuple(speeds)
        self.lengths = np.array([r.num_samples for r in records], np.int64)
        self.rates = np.array([r.sample_rate for r in records], np.int64)
        slots = np.maximum(1, np.round(self.lengths / self.rates / seconds)).astype(np.int64)
        self._slot_record = np.repeat(np.arange(len(records)), slots)
        self._orders: dict[int, npt.NDArray[np.int64]] = {}  # of the last epochs that were asked

    def __len__(self) -> int:
        """Number of samples in an epoch."""
        return len(self._slot_record)

    def draw(self, number: int, attempt: int = 0) -> Draw:
        """Return the sample of a running number: epoch number // len, index number % len.

        Another attempt is the same but for its place in the recording.
        """
        epoch, index = divmod(number, len(self))
        record = int(self._slot_record[self._order(epoch)[index]])
        key = item_key(self.seed, epoch, index)
        speed = self.speeds[(key >> 32) % len(self.speeds)]
        wanted = math.ceil(self.seconds * speed * int(self.rates[record]) - 1e-6)
        size = min(int(self.lengths[record]), wanted)
        room = int(self.lengths[record]) - size + 1
        place = key if attempt == 0 else item_key(key, epoch, attempt)
        return Draw(record, place % room, size, key, speed)

    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        if epoch not in self._orders:
            self._orders = dict(list(self._orders.items())[-1:]) | {epoch: self._permutation(epoch)}
        return self._orders[epoch]

    def _permutation(self, epoch: int) -> npt.NDArray[np.int64]:
        key = np.array([self.seed, epoch], np.uint64)
        return np.random.Generator(np.random.Philox(key=key)).permutation(len(self))
