"""The interface of every tracker."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """An utterance before and after.

    Attributes:
        name: of the utterance.
        x: original.
        x_hat: reconstruction.
        sample_rate: of both (Hz).
        picture: both spectrograms as a PNG, if they could be drawn.
    """

    name: str
    x: Float[Tensor, "1 1 L"]
    x_hat: Float[Tensor, "1 1 L"]
    sample_rate: int
    picture: bytes | None


class Tracker:
    """Somewhere that a run is told to; each kind overrides what it has a use for."""

    def advance(self) -> None:
        """A training step was taken."""

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Figures of a step, by name."""

    def codebooks(self, step: int, counts: Mapping[str, Float[Tensor, "N"]]) -> None:
        """How often each code was used since the last time, by codebook."""

    def sounds(self, step: int, snapshot: Snapshot) -> None:
        """Tell how an utterance sounds."""

    def close(self) -> None:
        """The run ends, or stops."""
