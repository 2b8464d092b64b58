"""The coder's copy of the WaveNet."""

import numpy as np
import torch
from jaxtyping import Float64

from audiovq.coding.fixed._delay import DelayedCopy, Network
from audiovq.coding.fixed._grid import Linear, limited, rounded
from audiovq.coding.fixed._tables import gated
from audiovq.prior.wavenet import WaveNet


class WaveNetCopy(DelayedCopy):
    """As `WaveNet`; values are rounded after every gate, residual, and linear layer.

    The skip connections of all layers are one sum.
    """

    def __init__(self, prior: WaveNet) -> None:
        super().__init__(prior)
        C, self.dilations = prior.config.channels, prior.config.dilations
        outs = [layer.get_parameter("weight") for layer in prior.outs]
        self.gates = [
            Linear(layer.get_parameter("weight"), layer.get_parameter("bias"))
            for layer in prior.gates
        ]
        self.residual = [Linear(weight[:C]) for weight in outs]
        self.skip = Linear(torch.cat([w[C:] for w in outs], dim=1), prior.skip_bias)
        self.last = Linear(prior.last.weight, prior.last.bias)

    def columns(self, x: Float64[np.ndarray, "B S C"]) -> Float64[np.ndarray, "B S H"]:
        """Run all layers over whole sequences."""
        C, skip = x.shape[2], self.skip.bias
        for i, dilation in enumerate(self.dilations):
            past = np.zeros_like(x)
            past[:, dilation:] = x[:, :-dilation]
            z = gated(self.gates[i](np.concatenate((past, x), axis=2)))
            skip = skip + z @ self.skip.weight[i * C : (i + 1) * C]
            x = limited(x + rounded(self.residual[i](z)))
        return self.read(skip)

    def read(self, skip: Float64[np.ndarray, "*B skip"]) -> Float64[np.ndarray, "*B H"]:
        """Return what the heads read, from the sum of the skip connections."""
        return np.maximum(rounded(self.last(np.maximum(rounded(skip), 0.0))), 0.0)  # type: ignore[no-any-return]

    def begin(self, batch: int, columns: int) -> Network:  # noqa: ARG002  the state has one size
        """Allocate the columns that are still seen."""
        return _Cached(self, batch)


class _Cached(Network):
    """Each layer's past in its part of one ring, as in `WaveNetSteps`."""

    def __init__(self, copy: WaveNetCopy, batch: int) -> None:
        C, layers = len(copy.gates[0].weight) // 2, len(copy.gates)
        self._copy, self._column = copy, 0
        self._dilations = np.array(copy.dilations)
        self._first = np.cumsum(self._dilations) - self._dilations
        self._ring = np.zeros((sum(copy.dilations), batch, C))
        self._past = np.stack([gate.weight[:C] for gate in copy.gates])
        self._bias = np.stack([gate.bias for gate in copy.gates])[:, np.newaxis]
        self._now = [gate.weight[C:] for gate in copy.gates]
        self._z = np.empty((batch, layers * C))
        self._parts = [self._z[:, i * C : (i + 1) * C] for i in range(layers)]

    def __call__(self, x: Float64[np.ndarray, "B C"]) -> Float64[np.ndarray, "B H"]:
        copy, slots = self._copy, self._first + self._column % self._dilations
        past = self._ring[slots] @ self._past + self._bias
        for i, now in enumerate(self._now):
            self._ring[slots[i]] = x
            z = gated(x @ now + past[i])
            self._parts[i][:] = z
            x = limited(x + rounded(z @ copy.residual[i].weight))
        self._column += 1
        return copy.read(copy.skip(self._z))
