"""A running average of the weights, with a codebook that fits it."""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from audiovq.autoencoder import Autoencoder
from audiovq.bottlenecks._base import Statistics
from audiovq.data.loader import Batch
from audiovq.train.merge import merge

_PASSES = 2  # of a residual quantizer's codebooks, each of which depends on those before it


class WeightAverage:
    """Exponential moving average of a model's parameters.

    The averaged encoder's frames lie elsewhere than the trained one's, and the codebook is an
    average already: averaging its counts and sums would make it lag twice. It is re-estimated from
    frames instead.

    Source: Polyak & Juditsky 1992, in the exponential form of Tarvainen & Valpola 2017
    (arXiv:1703.01780).

    Args:
        model: whose parameters are averaged.
        decay: of the average, per step; its first steps use (1 + n) / (10 + n) while that is less.
            0: there is no average, and nothing is done.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self._model = model
        kept = model.named_parameters() if decay > 0 else ()
        self.parameters = {k: p.detach().clone() for k, p in kept}

    @property
    def active(self) -> bool:
        """Whether there is an average."""
        return self.decay > 0

    @torch.no_grad()
    def reset(self) -> None:
        """Start from the model's parameters as they are now."""
        for name, parameter in self._model.named_parameters() if self.active else ():
            self.parameters[name].copy_(parameter)

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the model's parameters."""
        if not self.active:
            return
        self.steps += 1
        share = 1.0 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        current = [p.detach() for p in self._model.parameters()]
        torch._foreach_lerp_(list(self.parameters.values()), current, share)

    @torch.no_grad()
    def copied(self) -> nn.Module:
        """Return a copy of the model with the averaged weights, in evaluation mode."""
        averaged = copy.deepcopy(self._model).eval()
        for name, parameter in averaged.named_parameters():
            parameter.copy_(self.parameters[name])
        return averaged

    @torch.no_grad()
    def model(self, batches: Callable[[], Iterable[Batch]], device: torch.device) -> Autoencoder:
        """Return an autoencoder of the averaged weights, its codebook fitted to them.

        Args:
            batches: from which the codebook is estimated, the same each time it is called.
            device: of the model.
        """
        averaged = self.copied()
        assert isinstance(averaged, Autoencoder)
        for _ in range(_PASSES if averaged.bottleneck.estimates else 0):
            total: Statistics | None = None
            for batch in batches():
                given = (batch.x_input, batch.lengths, batch.keys)
                found = averaged(*(t.to(device) for t in given)).bottleneck.statistics
                total = found if total is None else total + found
            if total is not None:
                averaged.bottleneck.estimate(merge(total))
        return averaged

    def state_dict(self) -> dict[str, Any]:
        """Return averages and the number of steps."""
        return {"parameters": dict(self.parameters), "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Restore averages and the number of steps."""
        saved: Mapping[str, Tensor] = state["parameters"]
        if saved.keys() != self.parameters.keys():
            raise ValueError("it averages other parameters")
        for name, value in self.parameters.items():
            value.copy_(saved[name])
        self.steps = state["steps"]
