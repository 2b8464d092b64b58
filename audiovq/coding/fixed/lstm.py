"""The coder's copy of the LSTM."""

from typing import cast

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from audiovq.coding.fixed._delay import DelayedCopy, Network
from audiovq.coding.fixed._grid import VALUE_BITS, Linear, rounded
from audiovq.coding.fixed._tables import at, sigmoid, tanh
from audiovq.prior.lstm import LSTM


class LSTMCopy(DelayedCopy):
    """As `LSTM`; gates, cells and hidden units are rounded in every column."""

    def __init__(self, prior: LSTM) -> None:
        super().__init__(prior)
        self.layers = []
        for layer in prior.layers:
            w_x, w_h, b_x, b_h = cast("list[Tensor]", layer.all_weights[0])
            self.layers.append(Linear(torch.cat((w_x, w_h), dim=1), b_x.double() + b_h.double()))

    def columns(self, x: Float64[np.ndarray, "B S C"]) -> Float64[np.ndarray, "B S H"]:
        """Run all layers, column by column, from a state of zeros."""
        found, network = np.empty_like(x), self.begin(len(x), x.shape[1])
        for s in range(x.shape[1]):
            found[:, s] = network(x[:, s])
        return found

    def begin(self, batch: int, columns: int) -> Network:  # noqa: ARG002  the state has one size
        """Start from a state of zeros."""
        return _Recurrence(self.layers, batch)


class _Recurrence(Network):
    """Hidden units and cells of every layer."""

    def __init__(self, layers: list[Linear], batch: int) -> None:
        zeros = np.zeros((batch, layers[0].weight.shape[1] // 4))
        self._layers, self._state = layers, [(zeros, zeros)] * len(layers)

    def __call__(self, x: Float64[np.ndarray, "B C"]) -> Float64[np.ndarray, "B H"]:
        C = x.shape[1]
        for i, layer in enumerate(self._layers):
            h, c = self._state[i]
            place = at(layer(np.concatenate((x, h), axis=1)))
            gates = sigmoid().take(place, mode="clip")  # i, f, (g), o
            g = tanh().take(place[:, 2 * C : 3 * C], mode="clip")
            c = rounded(gates[:, C : 2 * C] * c + gates[:, :C] * g, VALUE_BITS)
            x = rounded(gates[:, 3 * C :] * tanh().take(at(c, 0), mode="clip"), VALUE_BITS)
            self._state[i] = (x, c)
        return x
