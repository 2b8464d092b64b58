"""The coder's copy of the gated PixelCNN."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from audiovq.coding.fixed._base import Embedding, FixedHeads, FixedPrior, FixedSteps, Hidden
from audiovq.coding.fixed._grid import Linear, limited, rounded, values
from audiovq.coding.fixed._tables import gated
from audiovq.prior.pixelcnn import Layer, PixelCNN


class PixelCNNCopy(FixedPrior):
    """As `PixelCNN`; values are rounded after every gate, residual, and linear layer.

    A convolution over the rows of a frame is one matrix between all rows at once, so that
    vectors of a frame are (K * C).
    """

    def __init__(self, prior: PixelCNN) -> None:
        super().__init__(prior)
        K = len(self.codebook_sizes)
        self.embed = Embedding(prior.rows)
        self.above = Linear(_between_rows(prior.above.weight, K, K - 1), _flat(prior.above_bias))
        left = prior.left
        weight = torch.zeros_like(prior.above.weight[..., :1]) if left is None else left.weight
        self.beside = Linear(_between_rows(weight, K, max(K - 1, 1)), _flat(prior.left_bias))
        self.layers = [_LayerCopy(layer, K) for layer in prior.layers]
        self.skip_bias = values(prior.skip_bias).ravel()
        self._heads = FixedHeads(prior.heads, self.codebook_sizes)

    def hidden(self, codes: Int64[np.ndarray, "B K T"]) -> Sequence[Hidden]:
        """Return, for each row, what its head reads."""
        before_them = np.full_like(codes, -1)
        before_them[:, :, 1:] = codes[:, :, :-1]
        v, e = rounded(self.above(self.vectors(before_them))), self.vectors(codes)
        h = rounded(self.beside(e)).reshape(*e.shape[:2], codes.shape[1], -1)
        skip = self.skip_bias
        for layer in self.layers:
            down, v = layer.down(_earlier(v, layer.dilation), v)
            before = np.zeros_like(h)
            before[:, :, 1:] = h[:, :, :-1]
            h, skip = layer.across(before, h, down, skip)
        read = np.maximum(limited(skip), 0.0)
        return [read[:, :, k] for k in range(codes.shape[1])]

    def vectors(self, codes: Int64[np.ndarray, "B K T"]) -> Float64[np.ndarray, "B T KC"]:
        """Return the vectors of the codes of each frame."""
        B, K, T = codes.shape
        return self.embed(codes.transpose(0, 2, 1).reshape(-1, K)).reshape(B, T, -1)

    def frequencies(self, row: int, hidden: Hidden) -> Int64[np.ndarray, "P _"]:
        """Return a row's frequencies of each code."""
        return self._heads(row, hidden)

    def steps(self, batch: int, frames: int) -> FixedSteps:  # noqa: ARG002  the state has one size
        """Begin sequences; state as long as the dilations' sum."""
        return _Steps(self, batch)


class _LayerCopy:
    """One layer of both stacks."""

    def __init__(self, layer: Layer, rows: int) -> None:
        self.dilation, self._rows = layer.dilation, rows
        past, now = layer.gate_v.weight.unbind(2)
        both = [_between_rows(x.unsqueeze(2), rows, layer.reach) for x in (past, now)]
        assert layer.gate_v.bias is not None
        self._vertical = Linear(torch.cat(both, dim=1), layer.gate_v.bias.repeat(rows))
        parts = (*layer.gate_h.weight[:, :, 0].unbind(2), layer.down.weight[:, :, 0, 0])
        self._gate = Linear(torch.cat(parts, dim=1), layer.gate_h.bias)
        self._out = Linear(layer.out.weight[:, :, 0, 0])
        self._out_v = None if layer.out_v is None else Linear(layer.out_v.weight[:, :, 0, 0])

    def down(
        self, past: Float64[np.ndarray, "B T KC"], v: Float64[np.ndarray, "B T KC"]
    ) -> tuple[Float64[np.ndarray, "B T K C2"], Float64[np.ndarray, "B T KC"]]:
        """Return the vertical gate, for the rows to hear, and the stack of the next layer."""
        gate = rounded(self._vertical(np.concatenate((past, v), axis=2)))
        gate = gate.reshape(*v.shape[:2], self._rows, -1)
        if self._out_v is None:
            return gate, v
        more = rounded(self._out_v(gated(gate, 0)))
        return gate, limited(v + more.reshape(v.shape))

    def across(
        self,
        before: Float64[np.ndarray, "*B C"],
        h: Float64[np.ndarray, "*B C"],
        down: Float64[np.ndarray, "*B C2"],
        skip: Float64[np.ndarray, "*_ C"],
    ) -> tuple[Float64[np.ndarray, "*B C"], Float64[np.ndarray, "*B C"]]:
        """Return the horizontal stack of the next layer, and the sum of the skip connections."""
        C = h.shape[-1]
        sums = self._gate(np.concatenate((before, h, down), axis=-1))
        found = rounded(self._out(gated(sums)))
        return limited(h + found[..., :C]), skip + found[..., C:]


class _Steps(FixedSteps):
    """Each frame's vertical stack once, then its rows; the past of each layer is in a ring."""

    def __init__(self, copy: PixelCNNCopy, batch: int) -> None:
        self._copy, self._frame, self._row = copy, 0, 0
        self._codes = np.full((batch, len(copy.codebook_sizes), 1), -1)
        wide = copy.above.weight.shape[1]
        self._rings = [np.zeros((batch, layer.dilation, wide)) for layer in copy.layers]
        self._found: Hidden | None = None

    def hidden(self) -> Sequence[Hidden]:
        """Return what the next code's head reads."""
        if self._found is None:
            if self._row == 0:
                self._begin_frame()
            self._found = self._across()
        return [self._found]

    def push(self, codes: Int64[np.ndarray, "B 1"]) -> None:
        """Say which code the next one is."""
        self.hidden()  # the past must be whole
        self._codes[:, self._row] = codes
        self._row, self._found = self._row + 1, None
        if self._row == self._codes.shape[1]:
            self._row, self._frame = 0, self._frame + 1

    def _begin_frame(self) -> None:
        """Run the vertical stack for the frame, and keep what it tells its rows."""
        copy, t = self._copy, self._frame
        v = rounded(copy.above(copy.vectors(self._codes)))
        self._down = []
        for layer, ring in zip(copy.layers, self._rings, strict=True):
            slot = slice(t % layer.dilation, t % layer.dilation + 1)
            past = ring[:, slot].copy()
            ring[:, slot] = v
            down, v = layer.down(past, v)
            self._down.append(down[:, 0])
        C = len(copy.skip_bias)
        self._before = [np.zeros((len(v), C)) for _ in copy.layers]

    def _across(self) -> Hidden:
        """Run the horizontal stack for one code."""
        copy, k = self._copy, self._row
        C = len(copy.skip_bias)
        h = rounded(copy.beside(copy.vectors(self._codes)))[:, 0, k * C : (k + 1) * C]
        skip = copy.skip_bias
        for i, layer in enumerate(copy.layers):
            before, self._before[i] = self._before[i], h
            h, skip = layer.across(before, h, self._down[i][:, k], skip)
        return np.maximum(limited(skip), 0.0)  # type: ignore[no-any-return]


def _between_rows(
    weight: Float[Tensor, "D C 1 W"], rows: int, behind: int
) -> Float[Tensor, "KD KC"]:
    """Return a convolution over rows as a matrix; its first tap is so many rows behind."""
    D, C, _, width = weight.shape
    found = weight.new_zeros(rows, D, rows, C)
    for to in range(rows):
        for tap in range(width):
            if 0 <= (source := to - behind + tap) < rows:
                found[to, :, source] = weight[:, :, 0, tap]
    return found.view(rows * D, rows * C)


def _flat(bias: Float[Tensor, "C 1 K"]) -> Float[Tensor, "KC"]:
    return bias[:, 0].t().flatten()


def _earlier(x: Float64[np.ndarray, "B T C"], by: int) -> Float64[np.ndarray, "B T C"]:
    found = np.zeros_like(x)
    found[:, by:] = x[:, :-by]
    return found
