"""Convolutional decoder to waveforms."""

import math

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from audiovq.bottlenecks._base import Context
from audiovq.config import ComponentConfig, Factor
from audiovq.decoders._base import Decoder
from audiovq.nn import lean, stepping
from audiovq.nn.activations import ActivationName, activation
from audiovq.nn.conv import (
    SPEECH_LEVEL,
    Conv1d,
    ConvTranspose1d,
    Span,
    layer_mask,
    weight_norm,
)
from audiovq.nn.residual import ResidualUnit
from audiovq.nn.stepping import Films, State, Step


class Config(ComponentConfig):
    """Settings of the convolutional decoder."""

    strides: tuple[Factor, ...] | None = Field(
        None,
        min_length=1,
        max_length=12,
        description="upsampling factors, first to last; empty: the encoder's, reversed",
    )
    channels: int = Field(16, ge=1, le=1024, description="channels at the full rate")
    max_channels: int = Field(512, ge=1, le=4096, description="channels double up to this many")
    kernel_size: int = Field(7, ge=1, le=63, description="kernel of the outer layers")
    residual_kernel_size: int = Field(3, ge=1, le=63, description="kernel of residual units")
    dilations: tuple[Factor, ...] = Field(
        (1, 3), max_length=8, description="one residual unit per dilation, at every rate"
    )
    activation: ActivationName = Field(
        "leaky_relu", description="nonlinearity between convolutions"
    )
    causal: bool = Field(False, description="whether a sample may depend on no later frame")


class ConvDecoder(Decoder):
    """Transposed convolutions and residual units, channels halving as the rate rises.

    Source: the decoder of SoundStream and EnCodec (SEANet), mirroring `ConvEncoder`.
    """

    def __init__(self, config: Config, in_channels: int, encoder_strides: tuple[int, ...]) -> None:
        super().__init__()
        self.strides = config.strides or tuple(reversed(encoder_strides))
        self.hop_length = math.prod(self.strides)
        self.widths = widths = [  # channels at each rate, lowest first
            min(config.channels * 2**i, config.max_channels) for i in range(len(self.strides) + 1)
        ][::-1]
        self.first = Conv1d(in_channels, widths[0], config.kernel_size, causal=config.causal)
        weight_norm(self.first)
        self.stages = nn.ModuleList(
            _Stage(config, widths[i], widths[i + 1], stride)
            for i, stride in enumerate(self.strides)
        )
        self.act = activation(config.activation, widths[-1])
        self.last = Conv1d(
            widths[-1], 1, config.kernel_size, causal=config.causal, gain=SPEECH_LEVEL
        )
        weight_norm(self.last)

    def forward(
        self, z: Float[Tensor, "B D T"], context: Context = Context()
    ) -> Float[Tensor, "B 1 L"]:
        """Decode T frames to L = T * hop_length samples; `context.mask` marks real frames."""
        mask = None if context.mask is None else context.mask.to(z.dtype)
        y, rate = self.first(z, mask), 1
        for stage, stride in zip(self.stages, self.strides, strict=True):
            slow = layer_mask(mask, rate)
            rate *= stride
            y = stage(y, slow, layer_mask(mask, rate))
        return self.last(lean.activate(self.act, y), layer_mask(mask, rate), spare=True)  # type: ignore[no-any-return]

    def initial_state(self, batch: int, like: Tensor) -> State:
        """Return one tensor per layer with a past: first, then each stage's, then last."""
        stages = (p for s in self.stages for p in s.initial_state(batch, like))  # type: ignore[operator]
        first, last = (layer.initial_state(batch, like) for layer in (self.first, self.last))
        return first, *stages, last

    def step(
        self, z: Float[Tensor, "B D T"], state: State, context: Context = Context()
    ) -> tuple[Float[Tensor, "B 1 L"], State]:
        """Decode the next T frames; return the new state as well."""
        del context
        return self.step_with((), z, state)

    def step_with(
        self, films: Films, z: Float[Tensor, "B D T"], state: State
    ) -> tuple[Float[Tensor, "B 1 L"], State]:
        """Decode the next T frames; what comes out at each rate goes through that rate's film."""
        steps = lean.kept((self, "steps"), self._steps)
        places = (1, *range(2, len(steps), 1 + len(self.stages[0].units)))  # type: ignore[arg-type]
        before = dict(zip(places, films, strict=bool(films)))
        y, state = stepping.through(steps, z.transpose(1, 2), state, before)
        return y.transpose(1, 2), state

    def _steps(self) -> list[Step]:
        """Return the steps of the layers with a past, in the order of their states."""
        steps = [stepping.convolution(self.first)]
        for stage in self.stages:
            steps.append(stepping.upsampling(stage.up, stepping.activation(stage.act)))  # type: ignore[arg-type]
            steps += [unit.stepper() for unit in stage.units]  # type: ignore[union-attr]
        return [*steps, stepping.convolution(self.last, stepping.activation(self.act))]

    def input_span(self, out: Span) -> Span:
        """Return the frames that the samples `out` depend on."""
        for layer in (self.last, *reversed(self.stages), self.first):
            out = layer.input_span(out)  # type: ignore[operator]
        return out


class _Stage(nn.Module):
    """A transposed convolution to the next rate, then residual units."""

    def __init__(self, config: Config, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.act = activation(config.activation, channels)
        self.up = ConvTranspose1d(channels, out_channels, stride, causal=config.causal)
        weight_norm(self.up)
        self.units = nn.ModuleList(
            ResidualUnit(
                out_channels,
                kernel_size=config.residual_kernel_size,
                dilation=dilation,
                activation_name=config.activation,
                causal=config.causal,
            )
            for dilation in config.dilations
        )

    def forward(
        self,
        x: Float[Tensor, "B C L"],
        mask: Float[Tensor, "#B 1 _"] | None,
        fast_mask: Float[Tensor, "#B 1 _"] | None,
    ) -> Float[Tensor, "B C_out L_out"]:
        return self.refine(self.up(self.act(x), mask), fast_mask)

    def initial_state(self, batch: int, like: Tensor) -> State:
        return tuple(layer.initial_state(batch, like) for layer in (self.up, *self.units))

    def refine(
        self, x: Float[Tensor, "B C L"], mask: Float[Tensor, "#B 1 _"] | None
    ) -> Float[Tensor, "B C L"]:
        """Pass what was upsampled through the residual units."""
        for unit in self.units:
            x = unit(x, mask)
        return x

    def input_span(self, out: Span) -> Span:
        """Return the inputs that the outputs `out` depend on."""
        for unit in reversed(self.units):
            out = unit.input_span(out)  # type: ignore[operator]
        return self.up.input_span(out)
