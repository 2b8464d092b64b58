"""How loud reconstructions are, and whether they clip, over all utterances of a validation."""

import math

from jaxtyping import Float
from torch import Tensor

FLOOR = 1e-12  # added to mean squares, so that silence has a level: -120 dB


class Levels:
    """Sums over utterances, added one by one."""

    def __init__(self) -> None:
        self.before = self.after = self.clipped = 0.0
        self.samples = 0

    def add(self, x: Float[Tensor, "B 1 L"], x_hat: Float[Tensor, "B 1 L"]) -> None:
        """Count originals and their reconstructions, all samples real."""
        self.before += float(x.float().square().sum())
        self.after += float(x_hat.float().square().sum())
        self.clipped += float((x_hat.abs() >= 1.0).sum())
        self.samples += x.numel()

    def describe(self) -> dict[str, float]:
        """Say how the reconstructions compare.

        Returns:
            level_db: rms of all reconstructions over that of the originals (dB). clipped: share of
            reconstructed samples at full scale or beyond, in [0, 1].
        """
        n = max(1, self.samples)
        ratio = (self.after / n + FLOOR) / (self.before / n + FLOOR)
        return {"level_db": 10.0 * math.log10(ratio), "clipped": self.clipped / n}
