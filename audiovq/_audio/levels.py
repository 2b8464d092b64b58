"""How loud, how clipped and how quiet a recording is, measured while it is decoded anyway."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FULL_SCALE = 32766 / 32768  # what 16 bits hold at most, or one step below
PAUSE_DB = 40.0  # a frame that far below the loudest one is a pause
_FRAME = 0.02  # seconds


@dataclass(frozen=True)
class Levels:
    """Figures of one file.

    Attributes:
        level_dbfs: RMS of all that is no pause, in dB below a full-scale square wave.
        clipped: share of samples at full scale that follow another at full scale, in [0, 1].
        pauses: share of 20 ms frames over 40 dB below the file's loudest one, in [0, 1).
    """

    level_dbfs: float
    clipped: float
    pauses: float


class Meter:
    """Takes a file block by block; frames do not cross blocks, whose last one may be shorter.

    Args:
        sample_rate: of the blocks (Hz).
    """

    def __init__(self, sample_rate: int) -> None:
        self._frame = max(1, round(_FRAME * sample_rate))
        self._powers: list[npt.NDArray[np.float64]] = []
        self._samples = self._clipped = 0

    def add(self, block: npt.NDArray[np.float32]) -> None:
        """Take the next block, (samples, channels), not empty."""
        full = np.abs(block) >= FULL_SCALE
        self._clipped += int((full[1:] & full[:-1]).sum())
        self._samples += block.size
        power = np.square(block).mean(axis=1, dtype=np.float64)  # of all channels: none cancels
        starts = np.arange(0, len(power), self._frame)
        sizes = np.diff(np.append(starts, len(power)))
        self._powers.append(np.add.reduceat(power, starts) / sizes)

    def levels(self) -> Levels | None:
        """Return the figures; None if there was no sound at all."""
        powers = np.concatenate(self._powers) if self._powers else np.zeros(1)
        if powers.max() <= 0:
            return None
        heard = powers[powers >= powers.max() * 10 ** (-PAUSE_DB / 10)]
        return Levels(
            level_dbfs=float(10 * np.log10(heard.mean())),
            clipped=self._clipped / self._samples,
            pauses=1 - len(heard) / len(powers),
        )
