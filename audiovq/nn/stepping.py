"""Causal layers a few positions at a time: what their states are, and the fastest way on a CPU.

A layer's state is what its next outputs depend on of the inputs so far, and zeros before the first:
what every layer sees where a mask is 0, and before an item's start. So a state of zeros starts an
item, in one row of a batch as in all. Steps are tensors in, tensors out: nothing in them depends on
values, nothing is kept in the layer, and they compute what `forward` does, but for rounding.

In 20 ms of speech there are too few positions for oneDNN, which spends most of its time laying out
weights: here every convolution is one matrix product. As in `lean`, tensors have the shape (B, C,
L), with the channels of a position side by side in memory.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from audiovq.nn import lean

State = tuple[Tensor, ...]  # of a network: its layers' states in the order of the layers
Films = Sequence[Callable[[Tensor], Tensor]]  # what scales values between layers, frame by frame


def same(x: Tensor) -> Tensor:
    """Return x: the film of a network that has none."""
    return x


def convolve(
    layer: nn.Conv1d, x: Float[Tensor, "B C L"], past: Float[Tensor, "B C P"]
) -> tuple[Float[Tensor, "B C_out L_out"], Float[Tensor, "B C P"]]:
    """Convolve x behind its past, without padding; return as long an end of both as well."""
    if not lean.applies(x) or layer.groups not in (1, layer.in_channels):
        seen = torch.cat([past, x], dim=-1)
        y = F.conv1d(seen, layer.weight, layer.bias, layer.stride, 0, layer.dilation, layer.groups)
        return y, seen[..., x.shape[-1] :]
    rows = torch.cat([past.transpose(1, 2), x.transpose(1, 2)], dim=1)
    return _convolve_rows(layer, rows).transpose(1, 2), rows[:, x.shape[-1] :].transpose(1, 2)


def pointwise(layer: nn.Conv1d, x: Float[Tensor, "B C L"]) -> Float[Tensor, "B C_out L"]:
    """Convolve with a kernel of one position, which has no past."""
    if not lean.applies(x):
        return F.conv1d(x, layer.weight, layer.bias)
    return _convolve_rows(layer, x.transpose(1, 2)).transpose(1, 2)


def upsample(
    layer: nn.ConvTranspose1d, x: Float[Tensor, "B C L"], past: Float[Tensor, "B C 1"]
) -> tuple[Float[Tensor, "B C_out L_out"], Float[Tensor, "B C 1"]]:
    """Upsample x, of which each output sees two, behind its past; return the last of x as well."""
    stride = layer.stride[0]
    assert layer.kernel_size[0] == 2 * stride
    if not lean.applies(x):
        y = F.conv_transpose1d(torch.cat([past, x], dim=-1), layer.weight, layer.bias, stride)
        return y[..., stride:-stride], x[..., -1:]
    B, C, L = x.shape
    rows = torch.cat([past.transpose(1, 2), x.transpose(1, 2)], dim=1)
    weight, bias = lean.kept((layer, "step"), lambda: _by_pairs(layer))
    pairs = rows.as_strided((B, L, 2 * C), ((L + 1) * C, C, 1))
    y = F.linear(pairs.reshape(B * L, 2 * C), weight, bias)
    return y.view(B, L * stride, -1).transpose(1, 2), rows[:, L:].transpose(1, 2)


def _convolve_rows(
    layer: nn.Conv1d, rows: Float[Tensor, "B L C"]
) -> Float[Tensor, "B L_out C_out"]:
    """Convolve rows, which are contiguous where a kernel sees several, as a product."""
    size, stride, dilation = layer.kernel_size[0], layer.stride[0], layer.dilation[0]
    B, L, C = rows.shape
    seen = rows
    if size > 1:
        shape = (B, (L - (size - 1) * dilation - 1) // stride + 1, size, C)
        seen = rows.as_strided(shape, (L * C, stride * C, dilation * C, 1))
    if layer.groups > 1:  # each channel on its own
        weight = lean.kept((layer, "step"), lambda: layer.weight[:, 0].t().contiguous())
        assert layer.bias is not None
        return (seen * weight).sum(dim=2).add_(layer.bias)
    weight = lean.kept(
        (layer, "step"), lambda: layer.weight.transpose(1, 2).flatten(1).contiguous()
    )
    y = F.linear(seen.reshape(-1, weight.shape[1]), weight, layer.bias)
    return y.view(B, -1, layer.out_channels)


def _by_pairs(layer: nn.ConvTranspose1d) -> tuple[Float[Tensor, "S M"], Float[Tensor, "S"]]:
    """Return weight and bias of `stride` outputs, as of the input before and the input there."""
    stride = layer.stride[0]
    late, early = layer.weight[..., :stride], layer.weight[..., stride:]
    weight = torch.cat([w.permute(2, 1, 0).flatten(0, 1) for w in (early, late)], dim=1)
    assert layer.bias is not None
    return weight.contiguous(), layer.bias.repeat(stride)
