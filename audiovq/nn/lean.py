"""Convolutions and activations as a CPU runs them fastest, where no gradient is wanted.

Along time, oneDNN is a quarter to a half faster when the channels of a position lie side by side
in memory, which is also how a frame's mask is applied in one pass. Between layers the tensors keep
their shape (B, C, L); only their strides differ. Values differ from the plain layers' by rounding.

Source: the channels-last layout of PyTorch (torch.channels_last), here for one dimension.
"""

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

_LARGE = 1024  # weights per output channel from which a product is faster than oneDNN
_KEPT_BYTES = 24 << 20

_T = TypeVar("_T")


Kept = dict[Hashable, Any]  # what was made of weights, by whom


class _Kept(threading.local):
    """The weights already laid out within `weights_kept`, per thread; None outside of it."""

    weights: Kept | None = None


_kept = _Kept()


@contextmanager
def weights_kept_in(own: Kept) -> Iterator[None]:
    """Lay out weights as in `weights_kept`, and keep them for the next time in a dict of one's own.

    Whoever holds it sees to it that weights, dtype and device do not change meanwhile.
    """
    before, _kept.weights = _kept.weights, own
    try:
        yield
    finally:
        _kept.weights = before


@contextmanager
def weights_kept() -> Iterator[None]:
    """Lay out every layer's weight once until the end, for several passes of unchanged weights.

    Nothing is kept beyond, so that no weight that is loaded or changed later can be overlooked.
    """
    if _kept.weights is not None:  # the outer one keeps them
        yield
        return
    # glibc hands freed memory back and faults it in again, a seventh of the time, until
    # a block this large was freed; from then on it keeps as much. The block is never touched.
    torch.empty(_KEPT_BYTES, dtype=torch.uint8)
    _kept.weights = {}
    try:
        yield
    finally:
        _kept.weights = None


def applies(x: Tensor) -> bool:
    """Whether x takes the paths of this module."""
    return (
        not torch.compiler.is_compiling()
        and not torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and not torch.is_autocast_enabled("cpu")
    )


def convolve(
    layer: nn.Conv1d,
    x: Float[Tensor, "B C L"],
    mask: Float[Tensor, "#B 1 _"] | None,
    padding: tuple[int, int],
    *,
    spare: bool,
) -> Float[Tensor, "B C_out L_out"]:
    """Convolve; where `mask` is 0, at the rate of x or a slower one, the input counts as zero.

    Args:
        layer: whose weights and shape it has.
        x: the input; overwritten if `spare`.
        mask: of real positions, or of groups of them; None: all are.
        padding: zeros before and after.
        spare: whether nobody needs x any more.
    """
    if mask is not None:
        x = masked(x, mask, spare=spare)
    left, right = padding
    if left != right:
        x, left = _padded(x, left, right), 0
    stride, dilation = layer.stride[0], layer.dilation[0]
    if _as_product(layer):
        return _multiply(layer, F.pad(x, (left, left)) if left else x)
    if layer.out_channels == 1:
        x = x.contiguous()
        return F.conv1d(x, layer.weight, layer.bias, stride, left, dilation, layer.groups)
    # Named, for PyTorch gives small inputs to other kernels: bits would depend on the size.
    y = torch.mkldnn_convolution(
        _columns(x),
        _laid_out(layer),
        layer.bias,
        padding=(0, left),
        stride=(1, stride),
        dilation=(1, dilation),
        groups=layer.groups,
    )
    return y.squeeze(2)


def upsample(
    layer: nn.ConvTranspose1d, x: Float[Tensor, "B C L"]
) -> Float[Tensor, "B C_out L_out"]:
    """Return the transposed convolution, uncropped, of a kernel that is twice the stride.

    As each output sees two inputs, it is one product of pairs of neighbours and the weight.
    """
    B, L, stride = len(x), x.shape[-1], layer.stride[0]
    assert layer.kernel_size[0] == 2 * stride
    weight = kept(layer, lambda: _by_pairs(layer.weight, stride))
    pairs = _patches(_padded(x, 1, 1), 2, 1)
    y = (pairs @ weight).view(B, (L + 1) * stride, layer.out_channels)
    if layer.bias is not None:
        y += layer.bias
    return y.transpose(1, 2)


def activate(act: nn.Module, x: Float[Tensor, "B C L"]) -> Float[Tensor, "B C L"]:
    """Return act(x); x, which nobody needs any more, is overwritten where that is possible."""
    if not applies(x):
        return act(x)  # type: ignore[no-any-return]
    if isinstance(act, nn.LeakyReLU):
        return F.leaky_relu_(x, act.negative_slope)
    if isinstance(act, nn.ELU):
        return F.elu_(x, act.alpha)
    if isinstance(act, nn.SiLU):
        return F.silu(x, inplace=True)
    return act(x)  # type: ignore[no-any-return]


def masked(
    x: Float[Tensor, "B C L"], mask: Float[Tensor, "#B 1 T"], *, spare: bool = False
) -> Float[Tensor, "B C L"]:
    """Return x * mask, a mask value standing for L / T positions; x is overwritten if spare."""
    B, C, L = x.shape
    T = mask.shape[-1]
    rows = _columns(x).squeeze(2).transpose(1, 2).reshape(B, T, -1)
    if spare and B == 1:  # little of a packed window is masked: touch no more than that
        rows.index_fill_(1, (mask[0, 0] == 0).nonzero()[:, 0], 0.0)
    else:
        rows = rows * mask.transpose(1, 2)
    return rows.view(B, L, C).transpose(1, 2)


def _laid_out(layer: nn.Conv1d) -> Float[Tensor, "C_out C_in 1 k"]:
    return kept(layer, lambda: _columns(layer.weight))


def kept(key: Hashable, make: Callable[[], _T]) -> _T:
    """Return what is made of weights alone, such as a layer's; made once where they are kept."""
    known = None if torch.compiler.is_compiling() else _kept.weights
    if known is None:
        return make()
    if key not in known:
        known[key] = make()
    return known[key]  # type: ignore[no-any-return]


def _columns(x: Float[Tensor, "B C L"]) -> Float[Tensor, "B C 1 L"]:
    """Return x as an image of one row, the channels of a position side by side."""
    return x.unsqueeze(2).contiguous(memory_format=torch.channels_last)


def _padded(x: Float[Tensor, "B C L"], left: int, right: int) -> Float[Tensor, "B C L_out"]:
    B, C, L = x.shape
    y = x.new_empty(B, left + L + right, C).transpose(1, 2)
    y[..., :left] = 0
    y[..., left + L :] = 0
    y[..., left : left + L] = x
    return y


def _as_product(layer: nn.Conv1d) -> bool:
    """Whether a layer is faster as one matrix product of patches.

    Measured on one thread: kernels of one position 2 to 4 times, large weights by a third (oneDNN
    lays them out again in every call), one input channel (for which oneDNN keeps another layout).
    """
    size, dilation = layer.kernel_size[0], layer.dilation[0]
    if layer.groups != 1 or dilation != 1:
        return False
    return size == 1 or layer.in_channels == 1 or size * layer.in_channels >= _LARGE


def _multiply(layer: nn.Conv1d, x: Float[Tensor, "B C L"]) -> Float[Tensor, "B C_out L_out"]:
    """Convolve padded input as a product of its patches and the weight."""
    weight = _laid_out(layer).permute(0, 2, 3, 1).reshape(layer.out_channels, -1)
    y = F.linear(_patches(x, layer.kernel_size[0], layer.stride[0]), weight, layer.bias)
    return y.view(len(x), -1, layer.out_channels).transpose(1, 2)


def _patches(x: Float[Tensor, "B C L"], size: int, stride: int) -> Float[Tensor, "R M"]:
    """Return what a kernel of that size sees at each of its places, one per row."""
    B, C, L = x.shape
    rows, places = _columns(x).squeeze(2).transpose(1, 2), (L - size) // stride + 1
    seen = rows.as_strided((B, places, size * C), (L * C, stride * C, 1))
    return seen.reshape(B * places, size * C)


def _by_pairs(weight: Float[Tensor, "C C_out k"], stride: int) -> Float[Tensor, "M S"]:
    """Return rows for the input before and the input at a place, columns for stride outputs."""
    late, early = weight[..., :stride], weight[..., stride:]
    return torch.cat([w.permute(0, 2, 1).flatten(1) for w in (early, late)])
