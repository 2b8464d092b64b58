"""Encoder that begins with a short-time Fourier transform and works near the frame rate."""

import math

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from audiovq.config import Factor
from audiovq.encoders._base import Encoder
from audiovq.nn import lean, stepping
from audiovq.nn.conv import SPEECH_LEVEL, Conv1d, Span, expand_mask, layer_mask
from audiovq.nn.convnext import ConvNeXtConfig, dense
from audiovq.nn.precision import without_autocast
from audiovq.nn.stepping import State, Step
from audiovq.nn.stft import STFT, nearest_divisor

# Below this share of speech's usual level a bin counts as silent: -86 dBFS, which is less than the
# background of clean recordings and more than the rounding of 16-bit samples.
_FLOOR = 1e-3
_POWER = 0.3  # to which magnitudes are raised beside their phase
# log power of speech at its usual level is 0 on average in loud bins, and -14 in silence
_LOG_SCALE, _LOG_SHIFT = 0.25, 1.0


class Config(ConvNeXtConfig):
    """Settings of the STFT encoder."""

    strides: tuple[Factor, ...] = Field(
        (2, 4, 5, 8),
        min_length=1,
        max_length=12,
        description="their product is a frame's samples; a decoder that upsamples undoes them",
    )
    causal: bool = Field(False, description="whether a frame may depend on no later sample")


class STFTEncoder(Encoder):
    """Spectra, ConvNeXt blocks at their rate, and at the frame rate: `ISTFTDecoder` backwards.

    A spectrum is seen as the logarithm of its power and, for phases, as its real and imaginary
    parts at magnitude ** 0.3, in which no level of speech drowns another.

    Source: Vocos (Siuzdak 2023, arXiv:2306.00814), section 3, turned round: spectra of a window of
    20 ms by default, several to a frame, folded into its channels. No norm but inside the blocks,
    so a frame's level is kept.
    """

    def __init__(self, config: Config, out_channels: int) -> None:
        super().__init__()
        wide, narrow, causal = config.channels, config.fast_channels, config.causal
        self.strides = config.strides
        self.hop_length = math.prod(config.strides)
        stft_hop = nearest_divisor(self.hop_length, config.stft_hop)
        self.rate = self.hop_length // stft_hop  # spectra per frame
        self.stft = STFT(stft_hop, config.overlap, causal=causal)
        self.first = dense(3 * self.stft.bins, narrow, 1.0)
        self.fast_blocks = config.stack(narrow, config.fast_blocks, causal=causal)
        self.down = dense(self.rate * narrow, wide, 1.0)
        self.blocks = config.stack(wide, config.blocks, causal=causal)
        self.last = Conv1d(wide, out_channels, 3, causal=causal, gain=1.0)

    def forward(
        self, x: Float[Tensor, "B 1 L"], mask: Float[Tensor, "#B 1 T"] | None = None
    ) -> Float[Tensor, "B C T"]:
        """Encode L = T * hop_length samples; every layer sees zeros where `mask` is 0."""
        real = expand_mask(mask, self.hop_length)
        with without_autocast(x.device):
            spectra = self.stft(x if real is None else x * real)
            y = self.first(_seen(*spectra)).transpose(1, 2)
        fast_mask = layer_mask(mask, self.rate)
        for block in self.fast_blocks:
            y = block(y, fast_mask)
        y = self._slower(y.transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            y = block(y, mask)
        return self.last(y, mask)  # type: ignore[no-any-return]

    def initial_state(self, batch: int, like: Tensor) -> State:
        """Return one tensor per layer with a past: transform, fast blocks, blocks, last."""
        layers = (self.stft, *self.fast_blocks, *self.blocks, self.last)
        return tuple(layer.initial_state(batch, like) for layer in layers)

    def step(self, x: Float[Tensor, "B 1 L"], state: State) -> tuple[Float[Tensor, "B C T"], State]:
        """Encode the next T * hop_length samples; return the new state as well."""
        fast, slow = lean.kept((self, "steps"), self._steps)
        y, early = stepping.through(fast, x.transpose(1, 2), state[: len(fast)])
        y, late = stepping.through(slow, self._slower(y), state[len(fast) :])
        return y.transpose(1, 2), early + late

    def _steps(self) -> tuple[list[Step], list[Step]]:
        """Return the steps of the layers with a past: at the spectra's rate, and at the frames'."""
        fast, slow = ([b.stepper() for b in g] for g in (self.fast_blocks, self.blocks))  # type: ignore[operator]
        return [self._spectra, *fast], [*slow, stepping.convolution(self.last)]

    def _spectra(
        self, x: Float[Tensor, "B L 1"], past: Float[Tensor, "B P 1"]
    ) -> tuple[Float[Tensor, "B S C"], Float[Tensor, "B P 1"]]:
        """Return columns of the spectra of the next samples, and the transform's new state."""
        with without_autocast(x.device):
            real, imaginary, past = self.stft.step(x, past)
            return self.first(_seen(real, imaginary)), past

    def _slower(self, y: Float[Tensor, "B S C"]) -> Float[Tensor, "B T C_out"]:
        """Fold the columns of a frame's spectra into one."""
        B, S, C = y.shape
        return self.down(y.reshape(B, S // self.rate, self.rate * C))  # type: ignore[no-any-return]

    def input_span(self, out: Span) -> Span:
        """Return the samples that the frames `out` depend on."""
        for layer in (self.last, *reversed(self.blocks)):
            out = layer.input_span(out)  # type: ignore[operator]
        out = Span(out.start * self.rate, out.end * self.rate)
        for block in reversed(self.fast_blocks):
            out = block.input_span(out)  # type: ignore[operator]
        return self.stft.input_span(out)

    @property
    def gap(self) -> int:
        """Masked frames between two items that keep them apart: as far as one layer reaches."""
        spans = [(self.stft.input_span(Span(0, self.rate)), self.hop_length)]
        spans += [(b.input_span(Span(0, self.rate)), self.rate) for b in self.fast_blocks]  # type: ignore[operator]
        spans += [(b.input_span(Span(0, 1)), 1) for b in (*self.blocks, self.last)]
        return max(-(-max(-s.start, s.end - own) // own) for s, own in spans)


def _seen(
    real: Float[Tensor, "B T F"], imaginary: Float[Tensor, "B T F"]
) -> Float[Tensor, "B T three_F"]:
    """Return how spectra are seen: log power and compressed parts, about as large as 1."""
    real, imaginary = real / SPEECH_LEVEL, imaginary / SPEECH_LEVEL
    power = real * real + imaginary * imaginary + _FLOOR**2
    shrink = power.pow((_POWER - 1) / 2)
    level = _LOG_SCALE * power.log() + _LOG_SHIFT
    return torch.cat([level, real * shrink, imaginary * shrink], dim=-1)
