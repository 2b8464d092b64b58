"""Another throat and another microphone: what codes should not tell, made random.

An encoder that hears each segment with its formants moved and its spectrum tilted at random, while
the decoder is told who speaks and has to give back the original, gains nothing from coding either.

Source: Choi et al. 2021 (NeurIPS, "Neural Analysis and Synthesis", arXiv:2110.14513), section 2.1.
Differs in: formants are moved by stretching the all-pole envelope of each frame, not by resampling,
and the pitch stays; the equaliser's gain is drawn at points equally far apart in mel.
"""

import math

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from audiovq.nn.mel import mel_bands

_FRAME_SECONDS = 0.032
_FLOOR = 1e-4  # of each frame's power, 40 dB below, added to all frequencies before the fit
_BANDS = 8  # of a drawn equaliser
_MOST_DB = 30.0
_NEPER = math.log(10) / 20  # of amplitude, per dB


def disguise(
    x: Float[Tensor, "1 1 L"], factor: float, gains_db: Float[Tensor, "M"], sample_rate: int
) -> Float[Tensor, "1 1 L"]:
    """Return a waveform with other formants and another long-term spectrum, as loud, as long.

    Args:
        x: of any length; silence stays silent.
        factor: what frequencies of each frame's envelope are multiplied by.
        gains_db: of bands from 0 Hz to half the rate, equally wide in mel.
        sample_rate: Hz.
    """
    n = 2 * round(_FRAME_SECONDS * sample_rate / 2)
    window = torch.hann_window(n)
    spectra = torch.stft(x[0], n, n // 4, window=window, pad_mode="constant", return_complex=True)
    change = _over_bins(gains_db * _NEPER, n // 2 + 1)[:, None]
    if factor != 1.0:
        envelope = _envelope(spectra[0], 2 + sample_rate // 1000)
        change = change + _stretched(envelope, factor) - envelope
    most = _MOST_DB * _NEPER
    y = torch.istft(
        spectra * change.clamp(-most, most).exp(), n, n // 4, window=window, length=x.shape[-1]
    )
    power, found = float(x.double().square().mean()), float(y.double().square().mean())
    return y[None] * math.sqrt(power / found) if found > 0 else x


def drawn(
    draws: np.random.Generator, formants: float, equaliser_db: float
) -> tuple[float, Float[Tensor, "M"]]:
    """Return a factor and gains for `disguise`.

    Args:
        draws: where they come from.
        formants: the factor is at most this, at least one over it, its logarithm uniform.
        equaliser_db: gains are uniform between this and its negative.
    """
    factor = math.exp(draws.uniform(-1.0, 1.0) * math.log(formants))
    gains_db = draws.uniform(-equaliser_db, equaliser_db, _BANDS)
    return factor, torch.from_numpy(gains_db).float()


def _over_bins(gains: Float[Tensor, "M"], bins: int) -> Float[Tensor, "F"]:
    """Return the gain of each bin: that of bands, with straight lines between their middles."""
    spread = mel_bands(bins, len(gains), gains)
    return (spread @ gains) / spread.sum(dim=1).clamp_min(1e-9)


def _envelope(spectra: Complex[Tensor, "F T"], order: int) -> Float[Tensor, "F T"]:
    """Return the log amplitude (nepers) of the all-pole filter that fits each frame best.

    Source: Makhoul 1975 (Proc. IEEE 63, "Linear prediction: a tutorial review"), section II.
    """
    lags = torch.fft.irfft(spectra.abs().square().T.double())[:, : order + 1]
    lags[:, 0] = lags[:, 0] * (1 + _FLOOR) + 1e-12
    at = torch.arange(order)
    matrix = lags[:, (at[:, None] - at).abs()]
    ahead = -torch.linalg.solve(matrix, lags[:, 1:])
    inverse = torch.cat([torch.ones_like(lags[:, :1]), ahead], dim=1)
    response = torch.fft.rfft(inverse, 2 * (len(spectra) - 1))
    envelope: Tensor = -response.abs().clamp_min(1e-9).log().float().T
    return envelope


def _stretched(envelope: Float[Tensor, "F T"], factor: float) -> Float[Tensor, "F T"]:
    """Return an envelope whose every feature lies at `factor` times its frequency."""
    at = (torch.arange(len(envelope)) / factor).clamp(max=len(envelope) - 1.0)
    below = at.long().clamp(max=len(envelope) - 2)
    return torch.lerp(envelope[below], envelope[below + 1], (at - below)[:, None])
