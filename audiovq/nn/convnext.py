"""ConvNeXt blocks: what encoders and decoders that work near the frame rate are made of."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from audiovq.config import ComponentConfig
from audiovq.nn import lean, stepping
from audiovq.nn.activations import ActivationName, activation
from audiovq.nn.conv import Conv1d, Span
from audiovq.nn.stepping import Step


class ConvNeXtConfig(ComponentConfig):
    """Settings of a network of spectra: blocks at their rate, and at the frame rate."""

    channels: int = Field(256, ge=1, le=4096, description="channels at the frame rate")
    blocks: int = Field(2, ge=0, le=64, description="ConvNeXt blocks at the frame rate")
    fast_channels: int = Field(96, ge=1, le=4096, description="channels at the spectra's rate")
    fast_blocks: int = Field(1, ge=0, le=64, description="ConvNeXt blocks at the spectra's rate")
    expansion: int = Field(2, ge=1, le=16, description="how much wider a block is inside")
    kernel_size: int = Field(7, ge=1, le=63, description="kernel of the convolutions over time")
    activation: ActivationName = Field("leaky_relu", description="nonlinearity inside the blocks")
    stft_hop: int = Field(
        80,
        ge=1,
        le=65536,
        description="samples per spectrum, about: of a frame's divisors the nearest in ratio",
    )
    overlap: int = Field(
        4, ge=2, le=16, description="spectra over a sample: n_fft is overlap * the samples of one"
    )

    def stack(self, channels: int, count: int, *, causal: bool) -> nn.ModuleList:
        """Return so many blocks."""
        return nn.ModuleList(
            ConvNeXtBlock(
                channels,
                kernel_size=self.kernel_size,
                expansion=self.expansion,
                activation_name=self.activation,
                causal=causal,
                scale=0.5,
            )
            for _ in range(count)
        )


class ConvNeXtBlock(nn.Module):
    """x + scale * W_2 act(W_1 norm(depthwise(x))): each channel along time, then all per frame.

    Source: Liu et al. 2022 (arXiv:2201.03545), section 2, in one dimension as in Vocos (Siuzdak
    2023, arXiv:2306.00814). The norm is over the channels of one frame, never over time.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int,
        expansion: int,
        activation_name: ActivationName,
        causal: bool,
        scale: float,
    ) -> None:
        super().__init__()
        hidden = expansion * channels
        self.depthwise = Conv1d(
            channels, channels, kernel_size, groups=channels, causal=causal, gain=1.0
        )
        self.norm = nn.LayerNorm(channels)
        self.widen = dense(channels, hidden, 1.0)
        self.act = activation(activation_name, hidden)
        self.narrow = dense(hidden, channels, 1.0)
        self.scale = nn.Parameter(torch.full((channels,), scale))

    def forward(
        self, x: Float[Tensor, "B C T"], mask: Float[Tensor, "#B 1 _"] | None = None
    ) -> Float[Tensor, "B C T"]:
        """Return x plus its neighbourhood's contribution; x counts as zero where `mask` is 0."""
        return x + self._per_frame(self.depthwise(x, mask))

    def initial_state(self, batch: int, like: Tensor) -> Float[Tensor, "B P C"]:
        """Return the state before the first input, in the dtype and on the device of `like`."""
        return self.depthwise.initial_state(batch, like)

    def stepper(self) -> Step:
        """Return what does as `forward` of the next rows."""
        near, act = stepping.convolution(self.depthwise), stepping.activation(self.act)
        weight, bias = self.scale.unsqueeze(1) * self.narrow.weight, self.scale * self.narrow.bias

        def step(
            x: Float[Tensor, "B T C"], past: Float[Tensor, "B P C"]
        ) -> tuple[Float[Tensor, "B T C"], Float[Tensor, "B P C"]]:
            y, past = near(x, past)
            return x + F.linear(act(self.widen(self.norm(y))), weight, bias), past

        return step

    def _per_frame(self, near: Float[Tensor, "B C T"]) -> Float[Tensor, "B C T"]:
        y = self.norm(near.transpose(1, 2))
        hidden = self.widen(y).transpose(1, 2)
        y = self.narrow(lean.activate(self.act, hidden).transpose(1, 2))
        return (y * self.scale).transpose(1, 2)  # type: ignore[no-any-return]

    def input_span(self, out: Span) -> Span:
        """Return the inputs that the outputs `out` depend on."""
        return out | self.depthwise.input_span(out)


def dense(in_features: int, out_features: int, gain: float) -> nn.Linear:
    """Return a linear layer whose outputs start `gain` times as large as its inputs, bias 0."""
    layer = nn.Linear(in_features, out_features)
    nn.init.normal_(layer.weight, std=gain / in_features**0.5)
    nn.init.zeros_(layer.bias)
    return layer
