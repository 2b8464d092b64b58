"""What the probes share: what they take, what they give, and checks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from audiovq.errors import ConfigError
from audiovq.eval.estimate import Estimate

Ints = npt.NDArray[np.int64]
Units = npt.NDArray[np.generic]  # of integers, which `checked` sees to
Frames = Callable[[int], npt.NDArray[np.floating]]  # place of an utterance -> MFCC frames (T, D)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """How well a classifier reads labels from units.

    Attributes:
        accuracy: of the units, in [0, 1]; None where there is no figure.
        majority: the same of always naming the most frequent label.
        permuted: the same with the labels of the training part shuffled.
        mfcc: the same classifier on MFCC frames; None where none were given.
        by_split: accuracy of each split: by its number, or by the speaker left out.
        labels: how many there are to choose from.
        utterances: how many were used.
        left_out: how many were not: label or speaker unknown, too few alike, or over the limit.
        reason: why there is no figure.
    """

    accuracy: Estimate | None = None
    majority: float | None = None
    permuted: Estimate | None = None
    mfcc: Estimate | None = None
    by_split: Mapping[str, float] = field(default_factory=dict)
    labels: int = 0
    utterances: int = 0
    left_out: int = 0
    reason: str = ""

    @property
    def range(self) -> tuple[float, float] | None:
        """The lowest and the highest accuracy of a split."""
        return (min(self.by_split.values()), max(self.by_split.values())) if self.by_split else None


def checked(
    units: Sequence[Units], sizes: Sequence[int], **columns: Sequence[object] | None
) -> list[Ints]:
    """Return every utterance's units as (K, T), after checking them.

    Args:
        units: (T,) or (K, T) each.
        sizes: codebook size of each row.
        columns: what goes with the utterances, of the same length; None is passed over.

    Raises:
        ConfigError: a length or a unit does not fit.
    """
    for name, column in columns.items():
        if column is not None and len(column) != len(units):
            raise ConfigError(
                f"{len(column)} {name} given for the units of {len(units)} utterances; give one "
                f"for each"
            )
    rows = []
    for i, item in enumerate(units):
        row = np.atleast_2d(item)
        if row.ndim != 2 or len(row) != len(sizes) or not np.issubdtype(row.dtype, np.integer):
            raise ConfigError(
                f"the units of utterance {i} are {item.dtype} of shape {item.shape}; integers of "
                f"shape ({len(sizes)}, T) are needed, a row for each codebook size in {sizes}"
            )
        if row.size and (row.min() < 0 or (row >= np.array(sizes)[:, None]).any()):
            raise ConfigError(
                f"utterance {i} has units from {row.min()} to {row.max()}, which codebooks of "
                f"{tuple(sizes)} do not have; give the sizes of the units' own model"
            )
        rows.append(row.astype(np.int64))
    return rows
