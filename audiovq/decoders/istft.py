"""Decoder that works near the frame rate and ends in an inverse STFT."""

import math

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from audiovq.bottlenecks._base import Context
from audiovq.decoders._base import Decoder
from audiovq.nn import lean, stepping
from audiovq.nn.conv import SPEECH_LEVEL, Conv1d, Span, expand_mask, layer_mask
from audiovq.nn.convnext import ConvNeXtConfig, dense
from audiovq.nn.istft import InverseSTFT
from audiovq.nn.precision import without_autocast
from audiovq.nn.stepping import Films, State, Step, same
from audiovq.nn.stft import nearest_divisor

# How every spectrum starts. Losses compare levels on a logarithmic scale, on which speech with its
# pauses lies 26 dB under its rms: started at the rms, hundreds of steps go into getting down. From
# 0 Hz to half the sample rate magnitudes fall by 25 dB. Angles near 0 in all bins are pulses,
# which are learned from faster than the noise of unrelated angles.
_LEVEL = SPEECH_LEVEL / 20
_FALL = math.log(17.0)
_ANGLE_GAIN = 0.1


class Config(ConvNeXtConfig):
    """Settings of the inverse-STFT decoder."""

    causal: bool = Field(False, description="whether a sample may depend on no later frame")


class ISTFTDecoder(Decoder):
    """ConvNeXt blocks at the frame rate, a few at the spectra's, magnitude and phase, samples.

    Samples per frame are the encoder's; no layer runs at the samples' rate. A causal one looks at
    no later frame, as a causal `conv` does, so a frame is heard as soon as it is there; but a
    spectrum rises over half its window, n_fft / 2 samples (10 ms by default), and most of what a
    sample is made of is older than that of a centred one.

    Source: Vocos (Siuzdak 2023, arXiv:2306.00814), section 3, as the decoder of WavTokenizer (Ji
    et al. 2024, arXiv:2408.16532). Differs in: no norm but inside the blocks, since one over a
    frame's channels hides how loud it is; frames are taken apart into several spectra of a shorter
    window, which follow a voice's periods and leave the weights to the blocks; magnitudes saturate
    smoothly where Vocos clips; the spectrum starts at a level and slope of speech; see also
    `InverseSTFT`.
    """

    def __init__(self, config: Config, in_channels: int, encoder_strides: tuple[int, ...]) -> None:
        super().__init__()
        wide, narrow = config.channels, config.fast_channels
        self.hop_length = math.prod(encoder_strides)
        stft_hop = nearest_divisor(self.hop_length, config.stft_hop)
        self.rate = self.hop_length // stft_hop  # spectra per frame
        self.first = Conv1d(in_channels, wide, config.kernel_size, causal=config.causal, gain=1.0)
        self.blocks = config.stack(wide, config.blocks, causal=config.causal)
        self.up = dense(wide, self.rate * narrow, 1.0)
        self.fast_blocks = config.stack(narrow, config.fast_blocks, causal=config.causal)
        self.inverse = InverseSTFT(stft_hop, config.overlap, causal=config.causal)
        self.head = _Head(narrow, self.inverse)

    def forward(
        self, z: Float[Tensor, "B D T"], context: Context = Context()
    ) -> Float[Tensor, "B 1 L"]:
        """Decode T frames to L = T * hop_length samples; `context.mask` marks real frames."""
        return self.forward_with(*self._plain(), z, context)

    def forward_with(
        self, films: Films, fast_films: Films, z: Float[Tensor, "B D T"], context: Context
    ) -> Float[Tensor, "B 1 L"]:
        """Decode as `forward`; what enters a block or the head goes through its film."""
        mask = None if context.mask is None else context.mask.to(z.dtype)
        y = self.first(z, mask)
        for block, film in zip(self.blocks, films, strict=True):
            y = block(film(y), mask)
        y = self._spread(y.transpose(1, 2)).transpose(1, 2)
        fast_mask = layer_mask(mask, self.rate)
        for block, film in zip(self.fast_blocks, fast_films[:-1], strict=True):
            y = block(film(y), fast_mask)
        with without_autocast(z.device):
            real, imaginary = self._spectra(fast_films[-1](y).transpose(1, 2))
            exist = expand_mask(mask, self.rate)
            return self.inverse(real, imaginary, None if exist is None else exist.to(real.dtype))  # type: ignore[no-any-return]

    def initial_state(self, batch: int, like: Tensor) -> State:
        """Return one tensor per layer with a past: first, blocks, fast blocks, transform."""
        layers = (self.first, *self.blocks, *self.fast_blocks, self.inverse)
        return tuple(layer.initial_state(batch, like) for layer in layers)

    def step(
        self, z: Float[Tensor, "B D T"], state: State, context: Context = Context()
    ) -> tuple[Float[Tensor, "B 1 L"], State]:
        """Decode the next T frames; return the new state as well."""
        del context
        return self.step_with((), (), z, state)

    def step_with(
        self, films: Films, fast_films: Films, z: Float[Tensor, "B D T"], state: State
    ) -> tuple[Float[Tensor, "B 1 L"], State]:
        """Decode the next T frames as `step`, with films as in `forward_with`."""
        slow, fast = lean.kept((self, "steps"), self._steps)
        before, fast_before = dict(enumerate(films, 1)), dict(enumerate(fast_films))
        y, early = stepping.through(slow, z.transpose(1, 2), state[: len(slow)], before)
        y, late = stepping.through(fast, self._spread(y), state[len(slow) :], fast_before)
        return y.transpose(1, 2), early + late

    def _steps(self) -> tuple[list[Step], list[Step]]:
        """Return the steps of the layers with a past: at the frame rate, and at the spectra's."""
        slow, fast = ([b.stepper() for b in g] for g in (self.blocks, self.fast_blocks))  # type: ignore[operator]
        return [stepping.convolution(self.first), *slow], [*fast, self._samples]

    def _samples(
        self, y: Float[Tensor, "B S C"], past: Float[Tensor, "B P M"]
    ) -> tuple[Float[Tensor, "B L 1"], Float[Tensor, "B P M"]]:
        """Return the samples of the next columns, and the transform's new state."""
        with without_autocast(y.device):
            return self.inverse.step(*self._spectra(y), past)

    def _plain(self) -> tuple[Films, Films]:
        """Return the films of a decoder that has none: at the frame rate, and at the spectra's."""
        return [same] * len(self.blocks), [same] * (len(self.fast_blocks) + 1)

    def _spread(self, y: Float[Tensor, "B T C"]) -> Float[Tensor, "B S C_fast"]:
        """Take each frame apart into the columns of its spectra."""
        return self.up(y).unflatten(-1, (self.rate, -1)).flatten(1, 2)  # type: ignore[no-any-return]

    def _spectra(
        self, y: Float[Tensor, "B S C_fast"]
    ) -> tuple[Float[Tensor, "B S F"], Float[Tensor, "B S F"]]:
        """Return the real and imaginary parts of columns, in the head's dtype."""
        return self.head(y.to(self.head.angle.bias.dtype))  # type: ignore[no-any-return]

    def input_span(self, out: Span) -> Span:
        """Return the frames that the samples `out` depend on."""
        out = self.inverse.input_span(out)
        for block in reversed(self.fast_blocks):
            out = block.input_span(out)  # type: ignore[operator]
        out = Span(out.start // self.rate, (out.end - 1) // self.rate + 1)
        for layer in (*reversed(self.blocks), self.first):
            out = layer.input_span(out)  # type: ignore[operator]
        return out


class _Head(nn.Module):
    """Columns to the real and imaginary parts of spectra, by magnitude and angle.

    The magnitude is exp(m) where that is small beside the largest there can be, n_fft / 2, and
    saturates there: peak * sigmoid(m - log(peak)), whose gradient is finite and fades slowly.
    """

    def __init__(self, channels: int, inverse: InverseSTFT) -> None:
        super().__init__()
        self.bins, self.peak = inverse.bins, inverse.n_fft / 2
        self.magnitude = dense(channels, self.bins, 0.5)
        self.angle = dense(channels, self.bins, _ANGLE_GAIN)
        slope = -torch.log1p((math.exp(_FALL) - 1) * torch.linspace(0, 1, self.bins))
        level = math.log(inverse.magnitude(_LEVEL)) - (2 * slope).exp().mean().log() / 2
        with torch.no_grad():
            self.magnitude.bias.copy_(slope + level)

    def forward(
        self, y: Float[Tensor, "B S C"]
    ) -> tuple[Float[Tensor, "B S F"], Float[Tensor, "B S F"]]:
        angle = self.angle(y)
        magnitude = self.rise(self.magnitude(y))
        return magnitude * angle.cos(), magnitude * angle.sin()

    def rise(self, m: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        """Return the magnitude of a level (nepers)."""
        return self.peak * torch.sigmoid(m - math.log(self.peak))
