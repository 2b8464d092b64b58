"""Causal networks a few positions at a time: what their states are, and the fastest way on a CPU.

A layer's state is what its next outputs depend on of the inputs so far, and zeros before the first:
what every layer sees where a mask is 0, and before an item's start. So a state of zeros starts an
item, in one row of a batch as in all. Steps are tensors in, tensors out: nothing in them depends on
values, nothing is kept in the layer, and they compute what `forward` does, but for rounding.

In 20 ms of speech there are too few positions for oneDNN, which spends most of its time laying out
weights, and what a call costs beside its arithmetic counts. So tensors are rows, (B, L, C) with the
channels of a position side by side, a convolution is one product of what its kernel sees at each
place, and what depends on weights alone is in the functions that a layer gives: a network makes
them once for as long as its weights do not change (`lean.kept`).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from audiovq.nn.activations import Snake, snake

State = tuple[Tensor, ...]  # of a network: its layers' states in the order of the layers

# Of a layer: from the next rows and its state to the rows it makes of them and its new state.
Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Stateless = Callable[[Tensor], Tensor]  # rows to rows
Films = Sequence[Callable[[Tensor], Tensor]]  # what scales values (B, C, L) between layers


def same(x: Tensor) -> Tensor:
    """Return x."""
    return x


def through(
    steps: Sequence[Step],
    x: Float[Tensor, "B L C"],
    state: Sequence[Tensor],
    films: Mapping[int, Callable[[Tensor], Tensor]] | None = None,
) -> tuple[Float[Tensor, "B L_out C_out"], State]:
    """Pass rows through layers; return the new state as well.

    Args:
        steps: of the layers.
        x: the next rows.
        state: of the layers.
        films: what rows go through before a layer, by its place.
    """
    new = []
    for i, (step, past) in enumerate(zip(steps, state, strict=True)):
        if films is not None and i in films:
            x = films[i](x.transpose(1, 2)).transpose(1, 2)
        x, past = step(x, past)  # noqa: PLW2901
        new.append(past)
    return x, tuple(new)


def convolution(layer: nn.Conv1d, before: Stateless = same) -> Step:
    """Return the step of a causal convolution behind an activation."""
    product = convolved(layer)

    def step(
        x: Float[Tensor, "B L C"], past: Float[Tensor, "B P C"]
    ) -> tuple[Float[Tensor, "B L_out C_out"], Float[Tensor, "B P C"]]:
        rows = torch.cat([past, before(x)], dim=1)
        return apart(product(rows), x.shape[0]), rows.narrow(1, x.shape[1], past.shape[1])

    return step


def upsampling(layer: nn.ConvTranspose1d, before: Stateless = same) -> Step:
    """Return the step of a transposed convolution, of which each output sees two inputs.

    It is a convolution of pairs of inputs to all outputs that lie between them.
    """
    stride = layer.stride[0]
    assert layer.kernel_size[0] == 2 * stride
    late, early = layer.weight[..., :stride], layer.weight[..., stride:]
    weight = torch.cat([w.permute(2, 1, 0).flatten(0, 1) for w in (early, late)], dim=1)
    assert layer.bias is not None
    bias, channels = layer.bias.repeat(stride), layer.out_channels
    pairs = _pairs if torch.compiler.is_compiling() else partial(seen, size=2)

    def step(
        x: Float[Tensor, "B L C"], past: Float[Tensor, "B 1 C"]
    ) -> tuple[Float[Tensor, "B L_out C_out"], Float[Tensor, "B 1 C"]]:
        rows = torch.cat([past, before(x)], dim=1)
        y = F.linear(pairs(rows), weight, bias).view(x.shape[0], -1, channels)
        return y, rows.narrow(1, x.shape[1], 1)

    return step


def convolved(layer: nn.Conv1d) -> Stateless:
    """Return what convolves contiguous rows without padding: to (B * L_out, C_out).

    Under a compiler, to (B, L_out, C_out): exporters know no strides, and runtimes convolutions.
    A kernel of one position also takes (B * L, C), and keeps the shape of what it is given.
    """
    weight, bias, groups = layer.weight, layer.bias, layer.groups
    size, stride, dilation = layer.kernel_size[0], layer.stride[0], layer.dilation[0]
    if torch.compiler.is_compiling():
        kernel = (weight, bias, stride, 0, dilation, groups)
        return lambda rows: F.conv1d(rows.transpose(1, 2), *kernel).transpose(1, 2)
    if groups > 1:  # each channel on its own
        assert groups == layer.in_channels == layer.out_channels
        assert bias is not None
        each = weight[:, 0].t()
        return lambda rows: (
            (seen(rows, size, stride, dilation).view(-1, *each.shape) * each).sum(dim=1) + bias
        )
    across = weight.transpose(1, 2).flatten(1)
    if size == stride == 1:
        return lambda rows: F.linear(rows, across, bias)
    return lambda rows: F.linear(seen(rows, size, stride, dilation), across, bias)


def apart(y: Float[Tensor, "*_ C"], batch: int) -> Float[Tensor, "B L C"]:
    """Return what `convolved` gives with the batch on its own."""
    return y if y.ndim == 3 else y.view(batch, -1, y.shape[-1])


def seen(
    rows: Float[Tensor, "B L C"], size: int, stride: int = 1, dilation: int = 1
) -> Float[Tensor, "_ M"]:
    """Return what a kernel sees of contiguous rows at each place: (B * L_out, size * C)."""
    B, L, C = rows.shape
    places = (L - 1 - (size - 1) * dilation) // stride + 1
    if B == 1 and dilation == 1:  # without a copy
        return rows.as_strided((places, size * C), (stride * C, 1))
    shape, strides = (B, places, size, C), (L * C, stride * C, dilation * C, 1)
    return rows.as_strided(shape, strides).reshape(B * places, size * C)


def _pairs(rows: Float[Tensor, "B L C"]) -> Float[Tensor, "B T M"]:
    return torch.cat([rows[:, :-1], rows[:, 1:]], dim=2)


def activation(act: nn.Module) -> Stateless:
    """Return an activation of rows, which are left as they are."""
    if isinstance(act, Snake):
        alpha = act.log_alpha.exp()[:, 0]
        return lambda rows: snake(rows, alpha)
    if isinstance(act, nn.LeakyReLU):
        return partial(F.leaky_relu, negative_slope=act.negative_slope)
    return act.forward
