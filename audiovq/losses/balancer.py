"""Keeping several losses in proportion by the size of their gradients, not of their values."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class Balancer:
    """Scales losses so that their gradients at the reconstruction keep a given ratio.

    With n_i the running mean of the norm of loss i's gradient with respect to x_hat, and r the
    reference, loss i is scaled by weight_i * n_r / n_i; before anything was measured, by 0.

    The norm is that of the whole step: squares add up over micro-batches and ranks. A step's scales
    come from the steps before it, and its own norms count from the next one on; so a step stays
    linear in its losses, and however it is cut and shared, the result is the same.

    Source: EnCodec (Defossez et al. 2022, arXiv:2210.13438), section 3.4, with beta = 0.999.
    Differs in: what the bottleneck and the plain recipe know keeps its own scale as the reference
    (in EnCodec all are brought to a norm of 1 together), as in VQGAN (Esser et al. 2021,
    arXiv:2012.09841, eq. 7), so that nothing jumps where the other losses begin, and the
    commitment term, which has no gradient at x_hat, stays in proportion; one norm is over the whole
    batch, not per item; a step's own norms do not scale it.

    Args:
        weights: of the losses that are scaled.
        decay: of the running means, per step.
        device: of the means.
    """

    def __init__(
        self, weights: Mapping[str, float], decay: float, device: torch.device | str = "cpu"
    ) -> None:
        self.weights, self.decay = dict(weights), decay
        self.names = ("reference", *weights)
        self.means = torch.zeros(len(self.names), device=device)  # of norms, not yet over `seen`
        self.seen = torch.zeros((), device=device)  # the weight of all steps so far, in [0, 1)

    def scales(self) -> dict[str, Float[Tensor, ""]]:
        """Return what each loss is to be multiplied by, from the steps so far; on the device."""
        reference, *others = self.means
        pairs = zip(self.weights.items(), others, strict=True)
        # weights of the running means cancel out
        return {k: torch.where(n > 0, w * reference / n, 0.0) for (k, w), n in pairs}

    @torch.no_grad()
    def update(self, squares: Mapping[str, Float[Tensor, ""]], ok: Bool[Tensor, ""]) -> None:
        """Count a step, unless `ok` is false.

        Args:
            squares: squared gradient norm of the whole step, of the reference and each loss.
            ok: the step's flag.
        """
        norms = torch.stack([squares[k].to(self.means) for k in self.names]).sqrt()
        share = 1.0 - self.decay
        self.means.copy_(torch.where(ok, torch.lerp(self.means, norms, share), self.means))
        self.seen.copy_(torch.where(ok, self.seen + share * (1.0 - self.seen), self.seen))

    def norms(self) -> dict[str, Float[Tensor, ""]]:
        """Return the running mean of each norm, corrected for its start at 0."""
        means = self.means / self.seen.clamp_min(1e-12)
        return dict(zip(self.names, means, strict=True))

    def state_dict(self) -> dict[str, Any]:
        """Return the running means."""
        return {"names": list(self.names), "means": self.means, "seen": self.seen}

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Restore the running means."""
        if state["names"] != list(self.names):
            raise ValueError("it balances other losses")
        self.means.copy_(state["means"])
        self.seen.copy_(state["seen"])
