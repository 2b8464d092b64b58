"""Convolutional encoder on waveforms."""

import math

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from audiovq.config import ComponentConfig, Factor
from audiovq.encoders._base import Encoder
from audiovq.nn import lean, stepping
from audiovq.nn.activations import ActivationName, activation
from audiovq.nn.conv import SPEECH_LEVEL, Conv1d, Span, layer_mask, weight_norm
from audiovq.nn.residual import ResidualUnit
from audiovq.nn.stepping import State, Step


class Config(ComponentConfig):
    """Settings of the convolutional encoder."""

    strides: tuple[Factor, ...] = Field(
        (2, 4, 5, 8), min_length=1, max_length=12, description="downsampling factors, first to last"
    )
    channels: int = Field(16, ge=1, le=1024, description="channels at the full rate")
    max_channels: int = Field(512, ge=1, le=4096, description="channels double up to this many")
    kernel_size: int = Field(7, ge=1, le=63, description="kernel of the first layer, in samples")
    residual_kernel_size: int = Field(3, ge=1, le=63, description="kernel of residual units")
    dilations: tuple[Factor, ...] = Field(
        (1, 3), max_length=8, description="one residual unit per dilation, at every rate"
    )
    activation: ActivationName = Field(
        "leaky_relu", description="nonlinearity between convolutions"
    )
    causal: bool = Field(False, description="whether a frame may depend on no later sample")


class ConvEncoder(Encoder):
    """Residual units and strided convolutions, channels doubling as the rate falls.

    Source: the encoder of SoundStream and EnCodec (SEANet; Zeghidour et al. 2021,
    arXiv:2107.03312, section III.A; Défossez et al. 2022, arXiv:2210.13438, section 3.1). Differs
    in: no recurrent layer and no normalisation over time, so codes do not depend on what else is
    in the file; centred unless `causal`.
    """

    def __init__(self, config: Config, out_channels: int) -> None:
        super().__init__()
        self.strides = config.strides
        self.hop_length = math.prod(config.strides)
        width = config.channels
        self.first = Conv1d(
            1, width, config.kernel_size, causal=config.causal, gain=1.0 / SPEECH_LEVEL
        )
        weight_norm(self.first)
        self.stages = nn.ModuleList()
        for stride in config.strides:
            stage = _Stage(config, width, min(2 * width, config.max_channels), stride)
            self.stages.append(stage)
            width = stage.out_channels
        self.act = activation(config.activation, width)
        self.last = Conv1d(width, out_channels, 3, causal=config.causal)
        weight_norm(self.last)

    def forward(
        self, x: Float[Tensor, "B 1 L"], mask: Float[Tensor, "#B 1 T"] | None = None
    ) -> Float[Tensor, "B C T"]:
        """Encode L = T * hop_length samples; every layer sees zeros where `mask` is 0."""
        rate = self.hop_length
        y = self.first(x, layer_mask(mask, rate))
        for stage, stride in zip(self.stages, self.strides, strict=True):
            y = stage(y, layer_mask(mask, rate))
            rate //= stride
        return self.last(lean.activate(self.act, y), mask, spare=True)  # type: ignore[no-any-return]

    def initial_state(self, batch: int, like: Tensor) -> State:
        """Return one tensor per layer with a past: first, then each stage's, then last."""
        stages = (p for s in self.stages for p in s.initial_state(batch, like))  # type: ignore[operator]
        first, last = (layer.initial_state(batch, like) for layer in (self.first, self.last))
        return first, *stages, last

    def step(self, x: Float[Tensor, "B 1 L"], state: State) -> tuple[Float[Tensor, "B C T"], State]:
        """Encode the next T * hop_length samples; return the new state as well."""
        steps = lean.kept((self, "steps"), self._steps)
        y, state = stepping.through(steps, x.transpose(1, 2), state)
        return y.transpose(1, 2), state

    def _steps(self) -> list[Step]:
        """Return the steps of the layers with a past, in the order of their states."""
        steps = [stepping.convolution(self.first)]
        for stage in self.stages:
            steps += [unit.stepper() for unit in stage.units]  # type: ignore[union-attr]
            act = stepping.activation(stage.act)  # type: ignore[arg-type]
            steps.append(stepping.convolution(stage.down, act))  # type: ignore[arg-type]
        return [*steps, stepping.convolution(self.last, stepping.activation(self.act))]

    def input_span(self, out: Span) -> Span:
        """Return the samples that the frames `out` depend on."""
        for layer in (self.last, *reversed(self.stages), self.first):
            out = layer.input_span(out)  # type: ignore[operator]
        return out

    @property
    def gap(self) -> int:
        """Masked frames between two items that keep them apart: as far as one layer reaches."""
        reach, rate = [_reach(self.first, self.hop_length)], self.hop_length
        for stage, stride in zip(self.stages, self.strides, strict=True):
            layers = [layer for layer in stage.modules() if isinstance(layer, Conv1d)]
            reach += [_reach(layer, rate) for layer in layers]
            rate //= stride
        return max(*reach, _reach(self.last, 1))


def _reach(layer: Conv1d, rate: int) -> int:
    """Return the frames, of `rate` positions each, that a layer looks beyond its own."""
    span = layer.input_span(Span(0, rate // layer.stride[0]))
    return -(-max(-span.start, span.end - rate) // rate)


class _Stage(nn.Module):
    """Residual units at one rate, then a strided convolution to the next."""

    def __init__(self, config: Config, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.units = nn.ModuleList(
            ResidualUnit(
                channels,
                kernel_size=config.residual_kernel_size,
                dilation=dilation,
                activation_name=config.activation,
                causal=config.causal,
            )
            for dilation in config.dilations
        )
        self.act = activation(config.activation, channels)
        self.down = Conv1d(channels, out_channels, 2 * stride, stride=stride, causal=config.causal)
        weight_norm(self.down)

    def forward(
        self, x: Float[Tensor, "B C L"], mask: Float[Tensor, "#B 1 _"] | None
    ) -> Float[Tensor, "B C_out L_out"]:
        for unit in self.units:
            x = unit(x, mask)
        return self.down(lean.activate(self.act, x), mask, spare=True)  # type: ignore[no-any-return]

    def initial_state(self, batch: int, like: Tensor) -> State:
        return tuple(layer.initial_state(batch, like) for layer in (*self.units, self.down))

    def input_span(self, out: Span) -> Span:
        """Return the inputs that the outputs `out` depend on."""
        out = self.down.input_span(out)
        for unit in reversed(self.units):
            out = unit.input_span(out)  # type: ignore[operator]
        return out
