"""WaveNet column by column: fused weights, ring buffers, no allocation that grows."""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from audiovq.errors import ConfigError
from audiovq.prior._base import Condition, Steps
from audiovq.prior._condition import at_rest
from audiovq.prior._wavenet_weights import fuse

if TYPE_CHECKING:
    from audiovq.prior.wavenet import WaveNet


class WaveNetSteps(Steps):
    """Cached state of a batch of sequences.

    What the dilated taps of all layers add to their gates is known before a column begins, so it is
    one batched product with the conditions; the layers then need one product each for filter and
    gate, and one for the residual; the skip connections of all layers are one more. Each layer's
    past lies in its part of one ring, at its own slot; nothing is moved.
    """

    def __init__(self, net: "WaveNet", batch: int, frames: int, condition: Condition) -> None:
        if batch < 1 or frames < 1:
            raise ConfigError(f"{batch} sequences of {frames} frames: at least 1 of 1 is needed")
        self._net, self._frames, self._column = net, frames, 0
        self._found: Tensor | None = None
        with torch.no_grad():
            self._weights = fuse(net)
            self._gate_bias = self._weights.gate_bias
            self._skip_weight = self._weights.skip.flatten(0, 1).t().contiguous().t()
            self._head_weight, self._head_bias = net.heads.fused()
            self._table = net.rows.table.weight.detach()
            self._allocate(net, batch)
            self._tell(net, frames, condition)

    def logits(self) -> Float[Tensor, "B G N"]:
        """Return the logits of the next column's codes, the last row first."""
        if self._found is None:
            rows = self._rows()
            with torch.no_grad():
                every = self._compute().view(self._skip.shape[0], -1, self._net.heads.largest)
            many = self._net.num_codebooks > 1  # one row is its own part, in its own order
            self._found = every[:, rows.start : rows.stop].flip(1) if many else every
        return self._found

    def push(self, codes: Int[Tensor, "B G"]) -> None:
        """Say which codes the next column has."""
        rows = self._rows()
        self.logits()  # the past must be whole
        if self._net.num_codebooks == 1:
            self._entries.copy_(codes)
        else:
            self._entries.copy_(self._net.rows.nothing)
            part = slice(rows.start, rows.stop)
            torch.add(codes.flip(1), self._net.rows.offset[part], out=self._entries[:, part])
        self._column, self._found = self._column + 1, None

    def _rows(self) -> range:
        if self._column >= self._frames + self._net.num_codebooks - 1:
            raise ConfigError(f"all {self._frames} frames that the steps began with are done")
        return self._net.rows_of(self._column, self._frames)

    def _compute(self) -> Float[Tensor, "B KN"]:
        w, slots = self._weights, self._first_slot + self._column % self._dilations
        torch.index_select(self._ring, 0, slots, out=self._past)
        torch.baddbmm(self._bias(), self._past, self._weights.past, out=self._gates)
        self._x[0] = F.embedding_bag(self._entries, self._table, mode="sum")
        for gate, weight, x, halves, z, residual, above in self._layers:
            gate.addmm_(x, weight).sigmoid_()
            torch.addcmul(halves[1], halves[0], halves[1], value=-2, out=z)  # -tanh * sigmoid
            if above is not None:
                torch.addmm(x, z, residual, out=above)
        self._ring.index_copy_(0, slots, self._x)
        torch.addmm(w.skip_bias, self._z.flatten(1), self._skip_weight, out=self._skip)
        h = torch.addmm(w.last_bias, self._skip.relu_(), w.last).relu_()
        return torch.addmm(self._head_bias, h, self._head_weight)

    def _bias(self) -> Float[Tensor, "layers _ C2"]:
        """Return what is added to each gate beside the codes, at this column."""
        if self._known is None:
            return self._gate_bias
        return self._gate_bias + self._conditions(self._known[:, self._column])

    def _conditions(self, known: Float[Tensor, "_ C"]) -> Float[Tensor, "layers _ C2"]:
        weight = self._weights.condition
        assert weight is not None
        return torch.matmul(known, weight)

    def _allocate(self, net: "WaveNet", batch: int) -> None:
        C, layers, like = net.config.channels, len(net.gates), self._table
        self._dilations = torch.tensor(net.config.dilations, device=like.device)
        self._first_slot = self._dilations.cumsum(0) - self._dilations
        self._ring = like.new_zeros(sum(net.config.dilations), batch, C)
        self._past = like.new_empty(layers, batch, C)
        self._x = like.new_empty(layers, batch, C)
        self._z = like.new_empty(batch, layers, C)
        self._gates = like.new_empty(layers, batch, 2 * C)
        self._skip = like.new_empty(batch, len(net.skip_bias))
        self._entries = net.rows.nothing.repeat(batch, 1)
        self._layers = [
            (
                self._gates[i],
                self._weights.now[i],
                self._x[i],
                self._gates[i].chunk(2, dim=1),
                self._z[:, i],
                self._weights.residual[i],
                self._x[i + 1] if i + 1 < layers else None,
            )
            for i in range(layers)
        ]

    def _tell(self, net: "WaveNet", frames: int, condition: Condition) -> None:
        """Add what is the same for all columns to the bias; keep what is known of each frame."""
        known = at_rest(net.conditioner, condition, frames, more=net.num_codebooks - 1)
        self._known: Tensor | None = None
        if known is not None and net.conditioner.local:
            self._known = known
        elif known is not None:
            self._gate_bias = self._gate_bias + self._conditions(known[:, 0])
