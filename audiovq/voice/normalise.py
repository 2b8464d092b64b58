"""One level and one long-term spectrum for what is encoded.

How loud a recording is and how its energy lies over frequency, on average, says much of who speaks
and over which channel, and nothing of what is said. It is taken out by one linear-phase filter for
the whole recording, so codes need not carry it; the decoder puts in the new voice's.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from audiovq.nn.mel import mel_bands, mel_centres
from audiovq.voice.level import gain

# Log power of speech in each band about its mean (dB), pauses left out: the mean of the 130
# LibriSpeech speakers of the training split, a recording each, by `long_term`.
SPEECH_DB = (
    10, 12, 13, 15, 17, 18, 18, 16, 14, 14, 14, 14, 13, 12, 10, 9, 7, 6, 5, 4, 3, 2,
    1, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, -1, -2, -2, -2, -2, -2, -3, -3, -3, -4,
    -4, -5, -6, -6, -7, -8, -9, -10, -11, -12, -13, -14, -14, -15, -15, -15, -16, -16, -17, -17,
)  # fmt: skip
_SPEECH_RATE = 16000  # Hz, of the recordings it is the mean of
SECONDS = 60.0  # from the beginning, of a longer recording, that the filter is computed from
TAPS = 512
_BANDS = len(SPEECH_DB)
_MOST_DB = 20.0  # a filter changes no band by more, about its mean
_PAUSE = 1e-4  # of the loudest frame's power, 40 dB below
_FLOOR = 1e-10

How = Literal["spectrum", "level", "none"]


@dataclass(frozen=True)
class Normaliser:
    """What turns one recording into speech of common level and spectrum.

    Attributes:
        taps: of the filter, level included.
        back: factor that makes what comes out of a decoder as loud as the recording was.
    """

    taps: Float[Tensor, "N"]
    back: float

    @classmethod
    def of(cls, x: Float[Tensor, "1 1 L"], sample_rate: int, how: How = "spectrum") -> "Normaliser":
        """Return that of a recording; of silence, one that changes nothing.

        Args:
            x: at the model's rate; of a longer one the first 60 s are looked at.
            sample_rate: Hz.
            how: `spectrum` and level, the `level` alone, or `none`.
        """
        x = x[..., : round(SECONDS * sample_rate)].float().cpu()
        taps = F.one_hot(torch.tensor(TAPS // 2), TAPS).float()
        if how == "none" or not bool(x.any()):
            return cls(taps, 1.0)
        if how == "spectrum":
            taps = _taps(_to_speech(long_term(x), sample_rate))
        filtered = torch.cat(list(_filtered([x], taps)), dim=-1)
        return cls(taps * gain([filtered], sample_rate), 1.0 / gain([x], sample_rate))

    def __call__(self, x: Float[Tensor, "1 1 L"]) -> Float[Tensor, "1 1 L"]:
        """Return the recording at common level and spectrum, as long."""
        return torch.cat(list(self.blocks([x])), dim=-1)

    def blocks(self, parts: Iterable[Float[Tensor, "1 1 _"]]) -> Iterator[Float[Tensor, "1 1 _"]]:
        """Filter a recording that arrives in blocks; joined, what `__call__` gives."""
        yield from _filtered(parts, self.taps)


def coloured(x: Float[Tensor, "1 1 L"], wanted: Float[Tensor, "M"]) -> Float[Tensor, "1 1 L"]:
    """Return a recording, filtered to another long-term spectrum, as `long_term` gives it."""
    taps = _taps(wanted - long_term(x))
    return torch.cat(list(_filtered([x], taps)), dim=-1)


def long_term(x: Float[Tensor, "1 1 L"]) -> Float[Tensor, "M"]:
    """Return the mean log power (nepers) of each mel band, pauses left out."""
    window = torch.hann_window(TAPS)
    power = torch.stft(
        x[0], TAPS, TAPS // 4, window=window, pad_mode="constant", return_complex=True
    )
    power = power[0].abs().square().T
    loudness = power.mean(dim=1)
    bands = power @ mel_bands(power.shape[1], _BANDS, power)
    return bands[loudness >= _PAUSE * loudness.max()].clamp_min(_FLOOR).log().mean(dim=0)


def _to_speech(found: Float[Tensor, "M"], sample_rate: int) -> Float[Tensor, "M"]:
    """Return what makes a long-term spectrum that of speech (nepers of power).

    What lies above the bands of `SPEECH_DB`, which end at 8 kHz, is changed as the rest on average.
    """
    shares = mel_centres(_BANDS, found)
    at, known = shares * (sample_rate / 2), shares * (_SPEECH_RATE / 2)
    speech = np.interp(at.numpy(), known.numpy(), SPEECH_DB)
    change = torch.from_numpy(speech).to(found) * (math.log(10) / 10) - found
    inside = at <= _SPEECH_RATE / 2
    return torch.where(inside, change, change[inside].mean())


def _taps(change: Float[Tensor, "M"]) -> Float[Tensor, "N"]:
    """Return the linear-phase filter that changes the power of each band so (nepers)."""
    most = _MOST_DB * math.log(10) / 20
    amplitude = ((change - change.mean()) / 2).clamp(-most, most)
    spread = mel_bands(TAPS // 2 + 1, _BANDS, change)
    weight = spread / spread.sum(dim=1, keepdim=True).clamp_min(1e-9)
    held = spread.sum(dim=1) > 0
    level = weight @ amplitude
    at = torch.arange(len(level))
    nearest = at[held][(at[:, None] - at[held]).abs().argmin(dim=1)]  # below and above all bands
    response = torch.fft.irfft(level[nearest].exp().to(torch.complex64), TAPS)
    taps: Tensor = response.roll(TAPS // 2) * torch.hann_window(TAPS)
    return taps


def _filtered(
    parts: Iterable[Float[Tensor, "1 1 _"]], taps: Float[Tensor, "N"]
) -> Iterator[Float[Tensor, "1 1 _"]]:
    """Yield a waveform filtered without delay; as many samples as arrive, zeros around them."""
    kernel, half = taps.flip(0)[None, None], TAPS // 2
    held = torch.zeros(1, 1, half - 1)  # what later outputs still depend on
    for part in parts:
        held = torch.cat([held, part.float()], dim=-1)
        if held.shape[-1] >= TAPS:
            yield F.conv1d(held, kernel)
            held = held[..., 1 - TAPS :]
    if held.shape[-1] >= half:  # else nothing arrived
        yield F.conv1d(F.pad(held, (0, half)), kernel)
