"""Discriminators of complex spectrograms at several resolutions, band by band."""

from itertools import pairwise

import torch
from jaxtyping import Float, Int
from pydantic import Field, field_validator
from torch import Tensor, nn

from audiovq.discriminators._base import (
    Discriminator,
    DiscriminatorConfig,
    Layer,
    Map,
    View,
    channels,
    masked,
    through,
)
from audiovq.errors import ConfigError
from audiovq.nn.conv import SPEECH_LEVEL
from audiovq.nn.precision import without_autocast

# DAC's published layers: 32 channels in every one of them.
CHANNELS, KERNELS, SLOPE = 32, ((3, 9), (3, 9), (3, 9), (3, 9), (3, 3)), 0.1
STRIDES = ((1, 1), (1, 2), (1, 2), (1, 2), (1, 1))


class Config(DiscriminatorConfig):
    """Settings of the multi-resolution discriminator."""

    n_ffts: tuple[int, ...] = Field(
        (2048, 1024, 512), min_length=1, max_length=16, description="one view per window (samples)"
    )
    bands: tuple[float, ...] = Field(
        (0.0, 0.1, 0.25, 0.5, 0.75, 1.0),
        min_length=2,
        max_length=17,
        description="edges of the bands, as shares of half the sample rate",
    )

    @field_validator("n_ffts")
    @classmethod
    def _are_windows(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        odd = [n for n in sizes if n % 4 or not 16 <= n <= 1 << 16]
        if odd:
            raise ValueError(f"{odd[0]} is no window; multiples of 4 from 16 to 65536 are accepted")
        return sizes

    @field_validator("bands")
    @classmethod
    def _ascend(cls, edges: tuple[float, ...]) -> tuple[float, ...]:
        if (edges[0], edges[-1]) != (0, 1) or any(a >= b for a, b in pairwise(edges)):
            raise ValueError("edges from 0 to 1 that ascend are accepted")
        return edges


class MultiResolutionDiscriminator(Discriminator):
    """Sees complex spectrograms at several resolutions, every band by layers of its own.

    Source: the multi-band multi-scale STFT discriminator of DAC (Kumar et al. 2023,
    arXiv:2306.06546), section 3.4 and its published layers; with the one band (0, 1) and dilations
    it would be EnCodec's MS-STFT discriminator.
    Differs in: window energy is divided out, as in EnCodec; frames are centred, with zeros outside,
    and a spectrogram of n samples has ceil(4 n / n_fft); layers see zeros past an item's end; first
    weights keep the variance of speech.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.labels = tuple(f"resolution_{n}" for n in config.n_ffts)
        self.views = nn.ModuleList(_Resolution(n, config) for n in config.n_ffts)

    def forward(self, x: Float[Tensor, "B 1 L"], lengths: Int[Tensor, "B"]) -> tuple[View, ...]:
        """Return the view of each resolution; a step of time is a frame."""
        return tuple(view(x, lengths) for view in self.views)


class _Resolution(nn.Module):
    """A spectrogram cut into bands, layers for each, and a last one over all of them."""

    window: Float[Tensor, "n_fft"]

    def __init__(self, n_fft: int, config: Config) -> None:
        super().__init__()
        self.n_fft = n_fft
        bins = n_fft // 2 + 1
        edges = [round(share * bins) for share in config.bands]
        self.widths = [b - a for a, b in pairwise(edges)]
        if min(self.widths) < 1:
            raise ConfigError(
                f"discriminators: a window of {n_fft} samples has {bins} bins, too few for bands "
                f"with the edges {config.bands}: leave some edges or the smallest n_ffts out"
            )
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.bands = nn.ModuleList(_layers(config.width) for _ in self.widths)
        self.last = Layer((channels(CHANNELS, config.width), 1), (3, 3), slope=None)

    def forward(self, x: Float[Tensor, "B 1 L"], lengths: Int[Tensor, "B"]) -> View:
        """Return the view."""
        steps = -(-lengths // (self.n_fft // 4))
        maps: list[Map] = []
        ends: list[Tensor] = []
        # a frame past an item's end still reaches back to its last samples
        spectrum = masked(self._spectrum(x), steps).values
        for band, layers in zip(torch.split(spectrum, self.widths, 3), self.bands, strict=True):
            # channels last: three times as fast on a CPU where there are few of them
            own = band.contiguous(memory_format=torch.channels_last)
            found = through(layers, Map(values=own, steps=steps))  # type: ignore[arg-type]
            maps += found
            ends.append(found[-1].values)
        logits = self.last(Map(values=torch.cat(ends, dim=3), steps=steps))
        return View(logits=logits, features=tuple(maps))

    def _spectrum(self, x: Float[Tensor, "B 1 L"]) -> Float[Tensor, "B 2 S F"]:
        """Return real and imaginary parts."""
        hop = self.n_fft // 4
        with without_autocast(x.device):
            z = torch.stft(
                x[:, 0].to(self.window.dtype),
                self.n_fft,
                hop,
                window=self.window,
                pad_mode="constant",
                return_complex=True,
            )
            scaled = torch.view_as_real(z) / self.window.square().sum().sqrt()
        frames = -(-x.shape[-1] // hop)
        return scaled[:, :, :frames].permute(0, 3, 2, 1)


def _layers(width: float) -> nn.ModuleList:
    size = channels(CHANNELS, width)
    sizes = [2, *[size] * len(KERNELS)]
    gains = [1.0 / SPEECH_LEVEL, *[1.0] * (len(KERNELS) - 1)]
    return nn.ModuleList(
        Layer((sizes[i], sizes[i + 1]), kernel, stride, slope=SLOPE, gain=gains[i])
        for i, (kernel, stride) in enumerate(zip(KERNELS, STRIDES, strict=True))
    )
