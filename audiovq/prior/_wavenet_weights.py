"""The weights of a WaveNet, laid out for products with whole blocks of them, without gradient."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

if TYPE_CHECKING:
    from audiovq.prior.wavenet import WaveNet


@dataclass(frozen=True, kw_only=True)
class Fused:
    """Weights that multiply from the right.

    Since tanh(y) = 2 sigmoid(2 y) - 1, the filter's weights are doubled, and one sigmoid, the
    cheaper function, serves filter and gate; with f and g its halves, tanh times sigmoid is
    g (2 f - 1). Its sign is changed, as `addcmul` gives it, and that of the weights after it.

    Attributes:
        past: of each layer's past inputs, into filter and gate.
        now: of each layer's present inputs, likewise.
        gate_bias: of filter and gate.
        condition: of what is known, likewise; None if nothing can be.
        residual: of each layer's gated values.
        skip: likewise, into the sum over the layers.
    """

    past: Float[Tensor, "layers C C2"]
    now: Float[Tensor, "layers C C2"]
    gate_bias: Float[Tensor, "layers 1 C2"]
    condition: Float[Tensor, "layers C C2"] | None
    residual: Float[Tensor, "layers C C"]
    skip: Float[Tensor, "layers C S"]
    skip_bias: Float[Tensor, "S"]
    last: Float[Tensor, "S S"]
    last_bias: Float[Tensor, "S"]


@torch.no_grad()
def fuse(net: "WaveNet") -> Fused:
    """Lay out the weights that a network has now."""
    C = net.config.channels
    gate = _stack(net.gates, "weight").transpose(1, 2)  # (layers, 2C, 2C)
    out = -_stack(net.outs, "weight").transpose(1, 2)  # (layers, C, C + skip)
    scale = gate.new_ones(2 * C)
    scale[:C] = 2
    gate, condition = gate * scale, None
    if hasattr(net, "conditions"):
        weight = net.condition_weights() * scale.unsqueeze(1)
        condition = weight.transpose(1, 2).contiguous()
    return Fused(
        past=gate[:, :C].contiguous(),
        now=gate[:, C:].contiguous(),
        gate_bias=_stack(net.gates, "bias").unsqueeze(1) * scale,
        condition=condition,
        residual=out[..., :C].contiguous(),
        skip=out[..., C:].contiguous(),
        skip_bias=net.skip_bias.detach(),
        last=net.last.weight.detach().t().contiguous(),
        last_bias=net.last.bias.detach(),
    )


def gated(gates: Float[Tensor, "R C2"], out: Float[Tensor, "R C"]) -> None:
    """Write minus tanh times sigmoid, from filter and gate before them, which are overwritten."""
    f, g = gates.sigmoid_().chunk(2, dim=1)
    torch.addcmul(g, f, g, value=-2, out=out)


def _stack(layers: nn.ModuleList, name: str) -> Float[Tensor, "layers *_"]:
    return torch.stack([layer.get_parameter(name) for layer in layers])
