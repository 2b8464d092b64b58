"""How far a reconstruction is from its original, by the measures of `audiovq evaluate`."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..sound import Recording

SHOWN = ("si_sdr", "log_mel_distance", "stoi", "pesq_wb")


@dataclass(frozen=True, kw_only=True)
class Score:
    """One measure of one recording.

    Attributes:
        name: key in `audiovq.eval.values.METRICS`.
        label: for tables.
        unit: "" for a pure number.
        better: `higher` or `lower`.
        about: one sentence.
        value: the figure; None if it is not defined for this recording.
        why: in that case the reason, such as "the original is silent".
    """

    name: str
    label: str
    unit: str
    better: str
    about: str
    value: float | None
    why: str = ""

    @property
    def text(self) -> str:
        """The figure with its unit, or why there is none."""
        raise NotImplementedError


def scores(
    original: Recording, reconstruction: Recording, names: Sequence[str] = SHOWN
) -> tuple[Score, ...]:
    """Return the measures that can be taken here; those whose package is missing say so in `why`.

    Args:
        original: at the rate of the model.
        reconstruction: as long, at the same rate.
        names: of `audiovq.eval.reconstruction.NAMES`.
    """
    raise NotImplementedError
