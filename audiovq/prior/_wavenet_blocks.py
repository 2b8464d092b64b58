"""WaveNet over blocks of columns that hand on their state, in memory that is allocated once."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from audiovq.prior._wavenet_weights import Fused, gated


def rows_at_once(device: torch.device) -> int:
    """Return how many columns, over all items, are worth computing together.

    On a CPU, what a layer of 128 channels reads and writes of them stays near its caches; fewer
    leave more of the time to calls. An accelerator wants many.
    """
    return 1024 if device.type == "cpu" else 1 << 15


class WaveNetBlocks:
    """The layers over the next columns of a batch of sequences, at most `size` at a time.

    Each layer's input lies behind as many columns of its past as its dilation, time first, so that
    past and present are two views of one tensor, moved by that many rows; a layer writes what the
    next one reads to where it reads it.
    """

    def __init__(self, weights: Fused, dilations: Sequence[int], batch: int, size: int) -> None:
        self._weights, self._fronts = weights, [batch * d for d in dilations]
        self._batch, self._before = batch, 0  # and how many rows the last block had
        like, rows = weights.now, batch * size
        C = like.shape[1]
        self._inputs = [like.new_zeros(front + rows, C) for front in self._fronts]
        self._gates, self._z = like.new_empty(rows, 2 * C), like.new_empty(rows, C)
        self._skip = like.new_empty(rows, len(weights.skip_bias))

    def __call__(
        self, x: Float[Tensor, "B S C"], known: Float[Tensor, "_ _ C"] | None
    ) -> Float[Tensor, "B S skip"]:
        """Run all layers."""
        w, rows = self._weights, x.shape[0] * x.shape[1]
        gates, z, skip = self._gates[:rows], self._z[:rows], self._skip[:rows]
        skip.copy_(w.skip_bias)
        below = x.transpose(0, 1).flatten(0, 1)
        for i, (front, data) in enumerate(zip(self._fronts, self._inputs, strict=True)):
            if self._before:
                data[:front] = data[self._before : self._before + front].clone()
            now = data[front : front + rows]
            if i == 0:
                now.copy_(below)
            else:
                torch.addmm(below, z, w.residual[i - 1], out=now)
            torch.addmm(self._bias(i, known, x), data[:rows], w.past[i], out=gates)
            gated(gates.addmm_(now, w.now[i]), z)
            skip.addmm_(z, w.skip[i])
            below = now
        self._before = rows
        h = torch.addmm(w.last_bias, skip.relu_(), w.last).relu_()
        return h.view(-1, self._batch, h.shape[1]).transpose(0, 1)

    def _bias(
        self, layer: int, known: Float[Tensor, "_ _ C"] | None, x: Float[Tensor, "B S C"]
    ) -> Float[Tensor, "_ C2"]:
        """Return what is added to a layer's gates beside the codes, for all rows or each."""
        bias, weight = self._weights.gate_bias[layer], self._weights.condition
        if known is None or weight is None:
            return bias
        told = known.transpose(0, 1) @ weight[layer]  # (S or 1, B or 1, 2C)
        whole = x.shape[:2] if max(told.shape[:2]) > 1 else (1, 1)
        return bias + told.expand(*reversed(whole), -1).flatten(0, 1)
