"""How loud and how clean reconstructions are, over all utterances of a validation."""

import math
from contextlib import suppress

from jaxtyping import Float
from torch import Tensor

from audiovq.eval.reconstruction import Undefined, si_sdr

FLOOR = 1e-12  # added to mean squares, so that silence has a level: -120 dB


class Levels:
    """Sums over utterances, added one by one."""

    def __init__(self) -> None:
        self.before = self.after = self.clipped = 0.0
        self.samples = 0
        self.si_sdr: list[tuple[float, float]] = []

    def add(
        self,
        x: Float[Tensor, "1 1 L"],
        x_hat: Float[Tensor, "1 1 L"],
        noisy: Float[Tensor, "1 1 L"] | None = None,
    ) -> None:
        """Count an original and its reconstruction; `noisy`: what the encoder heard instead."""
        self.before += float(x.float().square().sum())
        self.after += float(x_hat.float().square().sum())
        self.clipped += float((x_hat.abs() >= 1.0).sum())
        self.samples += x.numel()
        if noisy is not None:
            with suppress(Undefined):  # of a silent original there is none
                self.si_sdr.append((si_sdr(x, noisy), si_sdr(x, x_hat.float().cpu())))

    def __add__(self, other: "Levels") -> "Levels":
        total = Levels()
        for name in ("before", "after", "clipped", "samples", "si_sdr"):
            setattr(total, name, getattr(self, name) + getattr(other, name))
        return total

    def describe(self) -> dict[str, float]:
        """Say how the reconstructions compare.

        Returns:
            level_db: rms of all reconstructions over that of the originals (dB). clipped: share of
            reconstructed samples at full scale or beyond, in [0, 1]. si_sdr_in, si_sdr_out, where
            there was noise: mean SI-SDR of what was heard and of what came out (dB).
        """
        n = max(1, self.samples)
        ratio = (self.after / n + FLOOR) / (self.before / n + FLOOR)
        found = {"level_db": 10.0 * math.log10(ratio), "clipped": self.clipped / n}
        if self.si_sdr:
            means = (sum(v) / len(v) for v in zip(*self.si_sdr, strict=True))
            found |= dict(zip(("si_sdr_in", "si_sdr_out"), means, strict=True))
        return found
