"""Gated PixelCNN code by code: each frame's vertical stack once, then its rows."""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from audiovq.errors import ConfigError
from audiovq.prior._base import Condition, Steps
from audiovq.prior._condition import at_rest
from audiovq.prior._gates import gated

if TYPE_CHECKING:
    from audiovq.prior.pixelcnn import PixelCNN


class PixelCNNSteps(Steps):
    """Cached state of a batch of sequences.

    Of the vertical stack, each layer's last frames are kept in a ring of as many slots as its
    dilation; of the horizontal one, each layer's last code.
    """

    def __init__(self, net: "PixelCNN", batch: int, frames: int, condition: Condition) -> None:
        if batch < 1 or frames < 1:
            raise ConfigError(f"{batch} sequences of {frames} frames: at least 1 of 1 is needed")
        self._net, self._frames, self._frame, self._row = net, frames, 0, 0
        self._found: Tensor | None = None
        C, K, like = net.config.channels, net.num_codebooks, net.rows.table.weight.detach()
        self._rings = [like.new_zeros(batch, C, d, K) for d in net.config.dilations]
        self._lefts = like.new_zeros(len(net.layers), batch, C, 1, 1)
        self._downs = like.new_zeros(len(net.layers), batch, 2 * C, 1, K)
        self._embedded = like.new_zeros(batch, C, 1, K)
        self._entries = net.rows.nothing.repeat(batch, 1).unsqueeze(2)  # (B, K, 1)
        with torch.no_grad():
            known = at_rest(net.conditioner, condition, frames)
        self._known = None if known is None else known.transpose(1, 2).unsqueeze(3)

    def logits(self) -> Float[Tensor, "B 1 N"]:
        """Return the logits of the next code."""
        if self._frame >= self._frames:
            raise ConfigError(f"all {self._frames} frames that the steps began with are done")
        if self._found is None:
            with torch.no_grad():
                if self._row == 0:
                    self._begin_frame()
                self._found = self._compute()
        return self._found

    def push(self, codes: Int[Tensor, "B 1"]) -> None:
        """Say which code the next one is."""
        self.logits()  # the past must be whole
        k = self._row
        self._entries[:, k] = codes + self._net.rows.offset[k]
        with torch.no_grad():
            vector = F.embedding(self._entries[:, k, 0], self._net.rows.table.weight)
            self._embedded[:, :, 0, k] = vector
        self._row, self._found = k + 1, None
        if self._row == self._net.num_codebooks:
            self._row, self._frame = 0, self._frame + 1

    def _begin_frame(self) -> None:
        """Run the vertical stack for the frame, and keep what it tells the horizontal one."""
        net, t = self._net, self._frame
        v = net.above(net.embed(self._entries)) + net.above_bias
        known = self._known
        if known is not None and known.shape[2] > 1:  # otherwise it is the same for all frames
            known = known[:, :, t : t + 1]
        self._lefts.zero_()
        for layer, ring, down in zip(net.layers, self._rings, self._downs, strict=True):
            slot = slice(t % layer.dilation, t % layer.dilation + 1)
            both = F.pad(torch.cat((ring[:, :, slot], v), dim=2), (layer.reach, layer.reach))
            ring[:, :, slot] = v
            gate = layer.vertical(both, known, dilation=1)
            down.copy_(layer.down(gate))
            if layer.out_v is not None:
                v = v + layer.out_v(gated(gate))

    def _compute(self) -> Float[Tensor, "B 1 N"]:
        """Run the horizontal stack for one code."""
        net, k = self._net, self._row
        h = net.beside(self._embedded)[..., k : k + 1]
        skip: Tensor = net.skip_bias
        for layer, left, down in zip(net.layers, self._lefts, self._downs, strict=True):
            gate = layer.gate_h(torch.cat((left, h), dim=3)) + down[..., k : k + 1]
            left.copy_(h)
            more, aside = layer.out(gated(gate)).chunk(2, dim=1)
            h, skip = h + more, skip + aside
        read = skip.relu().flatten(1).unsqueeze(1)
        found: Tensor = net.heads(read, k)
        return found.transpose(1, 2)
