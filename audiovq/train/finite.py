"""Stopping a NaN before it reaches weights or codebook, and saying where it came from.

Every step yields one flag on the device: all checked tensors and the gradient norm are finite.
The flag goes into the optimizer and the codebook update, so the host need not wait for it; once
false it stays false, and nothing changes until the host looks and stops.
"""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from audiovq import distributed
from audiovq.bottlenecks._base import Bottleneck, Statistics
from audiovq.errors import NonFiniteError


class Guard:
    """Remembers whether every step so far was finite, and the first one that was not."""

    def __init__(self) -> None:
        self.ok: Bool[Tensor, ""] | None = None
        self._step: Tensor | None = None
        self._flags: dict[str, Tensor] = {}

    @property
    def waits_for_nothing(self) -> bool:
        """Whether to look at the flag costs nothing, as on a CPU."""
        return self.ok is not None and self.ok.device.type == "cpu"

    def check(
        self, step: int, flags: Mapping[str, Tensor], gradient_norm: Float[Tensor, ""]
    ) -> Bool[Tensor, ""]:
        """Return whether this step and all before it are finite, on all ranks.

        Args:
            step: number of the step, from 1.
            flags: what `finite` returned for tensors in pipeline order, by name.
            gradient_norm: norm of the whole gradient.
        """
        with torch.no_grad():
            flags = {**flags, "gradient": torch.isfinite(gradient_norm)}
            good = distributed.everywhere(torch.stack(list(flags.values())).all())
            if self.ok is None or self._step is None:
                self.ok, self._flags = good, flags
                self._step = torch.tensor(step, device=good.device)
                return good
            self._step = torch.where(self.ok, step, self._step)
            old, fine = self._flags, torch.ones_like(good)
            names = (*flags, *(k for k in old if k not in flags))  # what is checked may change
            self._flags = {
                k: torch.where(self.ok, flags.get(k, fine), old.get(k, fine)) for k in names
            }
            self.ok = self.ok & good
        return self.ok

    def raise_if_not(self, parameters: Callable[[], Mapping[str, nn.Parameter]]) -> None:
        """Wait for the device; stop if a step was not finite.

        Raises:
            NonFiniteError: names the step, and the first of its tensors in pipeline order, or the
                parameter nearest the loss whose gradient it is.
        """
        if self.ok is None or bool(self.ok):
            return
        assert self._step is not None
        # A gradient is everybody's: the rank whose fault it is has an earlier flag down.
        order = list(self._flags)
        first = next((i for i, k in enumerate(order) if not bool(self._flags[k])), len(order))
        firsts = distributed.gather_objects(first)
        source = order[min(firsts)]
        if source == "gradient":
            bad = [
                n
                for n, p in parameters().items()
                if p.grad is not None and not bool(torch.isfinite(p.grad).all())
            ]
            # Backward runs from the last parameter to the first: the last bad one was there first.
            more = f" (and of {len(bad) - 1} before it)" if len(bad) > 1 else ""
            source = f"the gradient of {bad[-1] if bad else 'some parameter'}{more}"
        if len(firsts) > 1 and min(firsts) < max(firsts):
            source += f" (on rank {firsts.index(min(firsts))})"
        raise NonFiniteError(
            f"NaN or infinity first appeared in {source} at step {int(self._step)}; weights, "
            f"codebooks and checkpoints are as before that step. Lower optim.lr, or look at what "
            f"the batch holds"
        )


@torch.no_grad()
def finite(tensors: Mapping[str, Tensor]) -> dict[str, Bool[Tensor, ""]]:
    """Return whether each tensor is finite: a sum is not if one of its terms is not."""
    return {k: torch.isfinite(v.float().sum()) for k, v in tensors.items()}


def guarded_update(
    bottleneck: Bottleneck, statistics: Statistics, ok: Bool[Tensor, ""], *, wait: bool
) -> None:
    """Let the bottleneck learn from a step, unless `ok` is false.

    Args:
        bottleneck: its buffers change in place.
        statistics: of the step.
        ok: the step's flag.
        wait: look at the flag, which costs nothing on a CPU; otherwise undo on the device.
    """
    if wait:
        if bool(ok):
            bottleneck.update(statistics)
        return
    before = [b.clone() for b in bottleneck.buffers()]
    bottleneck.update(statistics)
    for old, new in zip(before, bottleneck.buffers(), strict=True):
        new.copy_(torch.where(ok, new, old))
