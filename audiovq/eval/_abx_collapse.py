"""From cells to one error: over contexts, then speakers, then ordered pairs of phones."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float64

from audiovq.eval._abx_run import Cells
from audiovq.eval.intervals import MAX_BLOCKS, MIN_GROUPS, Interval, student_t


@dataclass(frozen=True)
class PairScore:
    """How well two phones are told apart.

    Attributes:
        a: the phone of A and X.
        b: the phone of B.
        error: in [0, 1]; chance is 1/2.
        speakers: of A and B.
        cells: how many there are.
        triples: over all cells.
    """

    a: str
    b: str
    error: float
    speakers: int
    cells: int
    triples: int


class Collapse:
    """Means of cells over contexts (and speakers of X), speakers of A and B, pairs of phones.

    Source: fastabx, `Score.collapse`, whose levels these are.
    """

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        phones, speakers = int(max(cells.a.max(), cells.b.max())) + 1, int(cells.speaker.max()) + 1
        code = (cells.a * phones + cells.b) * speakers + cells.speaker
        codes, self._voice = np.unique(code, return_inverse=True)
        self._pairs, self._pair = np.unique(codes // speakers, return_inverse=True)
        self._phones = phones

    def by_pair(self, kept: Bool[np.ndarray, " C"] | None = None) -> Float64[np.ndarray, " Q"]:
        """Return the error of each ordered pair of phones; NaN where no cell is kept."""
        kept = np.ones(len(self.cells.a), np.bool_) if kept is None else kept
        voices, pairs = len(self._pair), len(self._pairs)
        count = np.bincount(self._voice[kept], minlength=voices)
        total = np.bincount(self._voice[kept], weights=self.cells.error[kept], minlength=voices)
        there = count > 0
        speakers = np.bincount(self._pair[there], minlength=pairs)
        mean = total[there] / count[there]
        each = np.bincount(self._pair[there], weights=mean, minlength=pairs)
        return np.where(speakers > 0, each / np.maximum(speakers, 1), np.nan)

    def error(self, kept: Bool[np.ndarray, " C"] | None = None) -> float:
        """Return the mean over ordered pairs of phones, in [0, 1]; NaN without cells."""
        each = self.by_pair(kept)
        each = each[~np.isnan(each)]
        return float(each.mean()) if len(each) else math.nan

    def table(self, phones: tuple[str, ...]) -> tuple[PairScore, ...]:
        """Return every ordered pair of phones, worst first."""
        count = np.bincount(self._pair[self._voice])
        triples = np.bincount(self._pair[self._voice], weights=self.cells.triples)
        speakers, error = np.bincount(self._pair), self.by_pair()
        return tuple(
            PairScore(
                phones[self._pairs[i] // self._phones],
                phones[self._pairs[i] % self._phones],
                float(error[i]),
                int(speakers[i]),
                int(count[i]),
                int(triples[i]),
            )
            for i in np.argsort(-error, kind="stable")
        )

    def interval(self) -> tuple[Interval | None, int]:
        """Return the 95 % interval over speakers and how many were left out in turn.

        The jackknife, within and across speakers: across, a cell has two speakers, and goes when
        either does, so speakers are not independent values to resample (Arvesen 1969 on the
        jackknife of such statistics). None with fewer than three speakers, or if one has all.
        """
        present = np.unique([self.cells.speaker, self.cells.speaker_x])
        group = np.zeros(int(present.max()) + 1, dtype=np.int64)
        group[present] = np.arange(len(present)) % MAX_BLOCKS
        one, other = group[self.cells.speaker], group[self.cells.speaker_x]
        number = min(len(present), MAX_BLOCKS)
        without = np.array([self.error((one != g) & (other != g)) for g in range(number)])
        return _jackknife(self.error(), without), len(present)


def _jackknife(value: float, without: npt.NDArray[np.float64]) -> Interval | None:
    """Return the interval around a value from those with each group left out."""
    number = len(without)
    if number < MIN_GROUPS or np.isnan(without).any():
        return None
    reach = student_t(number - 1) * math.sqrt((number - 1) * float(without.var()))
    return max(0.0, value - reach), min(1.0, value + reach)
