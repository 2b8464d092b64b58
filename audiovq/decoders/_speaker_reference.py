"""Who speaks, heard from a recording."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from audiovq.config import Config
from audiovq.nn.mel import mel_bands
from audiovq.nn.precision import without_autocast
from audiovq.nn.stft import STFT

_HOP, _OVERLAP = 200, 4  # at 16 kHz a spectrum of 50 ms every 12.5 ms
_BANDS = 64
_FLOOR = 1e-5  # of a band's magnitude: digital silence has a finite logarithm
_PAUSE = 4.6  # nepers, 40 dB: a frame that far below the loudest one is a pause


class ReferenceConfig(Config):
    """Settings of the network that hears a voice from a recording."""

    channels: int = Field(128, ge=1, le=4096, description="channels")
    share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of training segments whose voice is heard from another segment of the "
        "speaker (data.references) and not looked up",
    )


class ReferenceEncoder(nn.Module):
    """A recording to a vector: log-mel frames, two layers, mean and deviation over time.

    Pauses are left out and so is how loud the recording is. Mean and deviation know no order of
    frames, so what is said can hardly pass.

    Source: statistics pooling of x-vectors (Snyder et al. 2018, ICASSP), without their context
    over time; trained with the decoder as the style encoder of Wang et al. 2018
    (arXiv:1803.09017) is.

    It holds nothing but weights: bands are computed, as if half the rate were 8 kHz.
    """

    def __init__(self, config: ReferenceConfig, dim: int) -> None:
        super().__init__()
        self.share = config.share
        self.stft = STFT(_HOP, _OVERLAP)
        self.first = nn.Linear(_BANDS, config.channels)
        self.second = nn.Linear(config.channels, config.channels)
        self.last = nn.Linear(2 * (_BANDS + config.channels), dim)

    def forward(self, x: Float[Tensor, "B 1 L"]) -> Float[Tensor, "B D"]:
        """Return the vector of each recording; zeros at its end are a pause."""
        with without_autocast(x.device):
            found: Tensor = self.last(self.statistics(x))
            return found

    def statistics(self, x: Float[Tensor, "B 1 L"]) -> Float[Tensor, "B S"]:
        """Return what the last layer is given: mean and deviation of bands and channels."""
        with without_autocast(x.device):
            bands, speech = self._bands(F.pad(x, (0, -x.shape[-1] % _HOP)))
            y = F.leaky_relu(self.first(bands), 0.1)
            y = F.leaky_relu(self.second(y), 0.1)
            y = torch.cat([bands, y], dim=-1)
            weight = speech / speech.sum(dim=1, keepdim=True)
            mean = (weight * y).sum(dim=1)
            variance = (weight * (y - mean.unsqueeze(1)).square()).sum(dim=1)
            return torch.cat([mean, (variance + 1e-5).sqrt()], dim=-1)

    def _bands(self, x: Float[Tensor, "B 1 L"]) -> tuple[Float[Tensor, "B T M"], Tensor]:
        """Return log-mel frames about their mean level, and which of them are speech (B, T, 1)."""
        real, imaginary = self.stft(x)
        power = real.square() + imaginary.square()
        mel = (power @ mel_bands(power.shape[-1], _BANDS, power)).clamp_min(_FLOOR**2).log() / 2
        loudness = power.mean(dim=-1, keepdim=True).clamp_min(_FLOOR**2).log() / 2
        speech = (loudness > loudness.amax(dim=1, keepdim=True) - _PAUSE).to(x.dtype)
        level = (speech * mel).sum(dim=1) / speech.sum(dim=1)
        return mel - level.mean(dim=-1)[:, None, None], speech
