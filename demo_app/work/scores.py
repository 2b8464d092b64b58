"""How far a reconstruction is from its original, by the measures of `audiovq evaluate`."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from audiovq.eval import reconstruction as measures
from audiovq.eval.values import METRICS

from ..sound import Recording

SHOWN = ("si_sdr", "log_mel_distance", "stoi", "pesq_wb")


@dataclass(frozen=True, kw_only=True)
class Score:
    """One measure of one recording.

    Attributes:
        name: key in `audiovq.eval.values.METRICS`.
        value: the figure; None if it is not defined for this recording.
        why: in that case the reason, such as "the original is silent".
    """

    name: str
    value: float | None
    why: str = ""

    @property
    def label(self) -> str:
        """What it is called in tables."""
        return METRICS[self.name].label

    @property
    def unit(self) -> str:
        """Its unit; "" of a pure number."""
        return METRICS[self.name].unit

    @property
    def about(self) -> str:
        """What it is, in one sentence."""
        return METRICS[self.name].definition.removesuffix("; mean over utterances")

    @property
    def text(self) -> str:
        """The figure with its unit, or why there is none."""
        if self.value is None:
            return self.why
        return f"{self.value:,.{METRICS[self.name].digits}f} {self.unit}".rstrip()


def scores(
    original: Recording, reconstruction: Recording, names: Sequence[str] = SHOWN
) -> tuple[Score, ...]:
    """Return measures of one reconstruction; one that cannot be taken here says why.

    Args:
        original: at the rate of the model.
        reconstruction: as long, at the same rate.
        names: of `audiovq.eval.reconstruction.NAMES`.
    """
    there, _ = measures.available(names)
    found = _scorer(original.sample_rate, tuple(there))(original.x, reconstruction.x)
    made = []
    for name in names:
        value = found.get(name, f"needs the package {measures.EXTRAS.get(name)} (audiovq[metrics])")
        known = not isinstance(value, str)
        made.append(
            Score(name=name, value=value if known else None, why="" if known else str(value))
        )
    return tuple(made)


@lru_cache(maxsize=8)
def _scorer(sample_rate: int, names: tuple[str, ...]) -> measures.Scorer:
    return measures.Scorer(sample_rate, names)
