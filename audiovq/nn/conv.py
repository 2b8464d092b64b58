"""Length-exact 1-D convolutions, causal or centred, that know what they see.

L input samples give exactly L / stride outputs, and a transposed convolution gives L * stride.
With stride s, kernel k and dilation d, output t of a convolution reads the input at

    t*s - left,  t*s - left + d,  ...  t*s - left + (k-1)*d        left + right = (k-1)*d + 1 - s

    causal:  right = 0, so output t ends where its own s input samples end
    centred: left and right differ by at most one

`Span`s do that arithmetic for whole networks, so that a receptive field is stated by the layers
and not by hand. Beyond an item's end every layer sees zeros: the mask is applied to its input.

Weights start at a variance that keeps the signal's, biases at 0. PyTorch's default shrinks it
layer by layer until the biases drown it: 12 layers deep, frames of speech then differ by 0.4 % of
their size, and nothing is learned for hundreds of steps.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize

from audiovq.nn import lean

SPEECH_LEVEL = 0.05  # rms of speech at -26 dBFS, a usual level of corpora; full scale is 1
GAIN = 1.25  # 1 / rms(ELU(n)) for n ~ N(0, 1), so that variance survives activation and layer


@dataclass(frozen=True)
class Span:
    """The half-open range [start, end) of positions along time."""

    start: int
    end: int

    def __or__(self, other: "Span") -> "Span":
        return Span(min(self.start, other.start), max(self.end, other.end))


class Conv1d(nn.Conv1d):
    """Convolution over time: (B, C_in, L) -> (B, C_out, L / stride), for L a multiple of stride."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        causal: bool = False,
        gain: float = GAIN,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride=stride, dilation=dilation, groups=groups
        )
        _initialise(self, in_channels // groups * kernel_size, gain)
        total = (kernel_size - 1) * dilation + 1 - stride
        assert total >= 0, "a kernel shorter than its stride would skip samples"
        self.left = total if causal else total // 2
        self.right = total - self.left

    def forward(
        self,
        x: Float[Tensor, "B C L"],
        mask: Float[Tensor, "#B 1 _"] | None = None,
        *,
        spare: bool = False,
    ) -> Float[Tensor, "B C_out L_out"]:
        """Convolve; where `mask`, from `layer_mask`, is 0 the input counts as zero.

        With `spare`, nobody needs x any more, and it may be overwritten.
        """
        if self.kernel_size[0] == 1:
            mask = None
        if lean.applies(x):
            return lean.convolve(self, x, mask, (self.left, self.right), spare=spare)
        if mask is not None:
            x = x * mask
        if self.left == self.right:  # symmetric padding inside the kernel saves a copy
            return F.conv1d(
                x, self.weight, self.bias, self.stride, self.left, self.dilation, self.groups
            )
        x = F.pad(x, (self.left, self.right))
        return F.conv1d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)

    def initial_state(self, batch: int, like: Tensor) -> Float[Tensor, "B P C"]:
        """Return the `left` inputs before the first, in the dtype and on the device of `like`."""
        assert self.right == 0, "a layer that looks ahead has no steps"
        return like.new_zeros(batch, self.left, self.in_channels)

    def input_span(self, out: Span) -> Span:
        """Return the inputs that the outputs `out` depend on."""
        reach = (self.kernel_size[0] - 1) * self.dilation[0]
        first = out.start * self.stride[0] - self.left
        return Span(first, (out.end - 1) * self.stride[0] - self.left + reach + 1)


class ConvTranspose1d(nn.ConvTranspose1d):
    """Upsampling convolution: (B, C_in, L) -> (B, C_out, L * stride), kernel 2 * stride.

    A kernel that is a multiple of the stride gives every output the same number of inputs, which
    keeps the checkerboard pattern of transposed convolutions away (Odena et al. 2016).
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, *, causal: bool = False
    ) -> None:
        super().__init__(in_channels, out_channels, 2 * stride, stride=stride)
        _initialise(self, 2 * in_channels, GAIN)  # each output sees kernel / stride = 2 inputs
        self.left = 0 if causal else stride // 2  # samples cut off on the left; stride in all

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "B C L"], mask: Float[Tensor, "#B 1 _"] | None = None
    ) -> Float[Tensor, "B C_out L_out"]:
        """Upsample; where `mask`, from `layer_mask`, is 0 the input counts as zero."""
        if lean.applies(x):
            y = lean.upsample(self, x if mask is None else lean.masked(x, mask))
        else:
            x = x if mask is None else x * mask
            y = F.conv_transpose1d(x, self.weight, self.bias, self.stride)
        return y[..., self.left : self.left + x.shape[-1] * self.stride[0]]

    def initial_state(self, batch: int, like: Tensor) -> Float[Tensor, "B 1 C"]:
        """Return the input before the first, in the dtype and on the device of `like`."""
        assert self.left == 0, "a layer that looks ahead has no steps"
        return like.new_zeros(batch, 1, self.in_channels)

    def input_span(self, out: Span) -> Span:
        """Return the inputs that the outputs `out` depend on."""
        s, k = self.stride[0], self.kernel_size[0]
        return Span(-((k - 1 - out.start - self.left) // s), (out.end - 1 + self.left) // s + 1)


def _initialise(conv: nn.Conv1d | nn.ConvTranspose1d, fan_in: int, gain: float) -> None:
    nn.init.normal_(conv.weight, std=gain / fan_in**0.5)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)


def weight_norm(conv: nn.Module) -> nn.Module:
    """Reparametrise a convolution's weight as direction times length, per output channel.

    Source: Salimans & Kingma 2016 (arXiv:1602.07868).
    """
    # A transposed convolution keeps its output channels in dimension 1.
    parametrizations.weight_norm(conv, dim=1 if isinstance(conv, ConvTranspose1d) else 0)
    return conv


def fold_weight_norm(module: nn.Module) -> None:
    """Replace every weight-normalised weight in place by the plain weight it stands for."""
    for child in module.modules():
        if parametrize.is_parametrized(child, "weight"):
            parametrize.remove_parametrizations(child, "weight", leave_parametrized=True)


def expand_mask(mask: Float[Tensor, "B 1 T"] | None, factor: int) -> Float[Tensor, "B 1 L"] | None:
    """Repeat a mask in time for whatever runs `factor` times faster."""
    return None if mask is None else torch.repeat_interleave(mask, factor, dim=-1)


def layer_mask(mask: Float[Tensor, "B 1 T"] | None, factor: int) -> Float[Tensor, "B 1 _"] | None:
    """Return a mask for layers of this module that run `factor` times faster."""
    if mask is None or lean.applies(mask):  # where they repeat it themselves
        return mask
    return expand_mask(mask, factor)
