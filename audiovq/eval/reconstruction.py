"""Distances between an utterance and its reconstruction, one number each."""

import importlib.util
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from audiovq import audio
from audiovq.losses import spectral

Waveform = Float[Tensor, "1 1 L"]


@dataclass(frozen=True)
class Metric:
    """A distance or score.

    Attributes:
        unit: "" for none.
        better: "higher" or "lower".
        definition: one sentence, for help and reports.
        function: (original, reconstruction, sample rate) -> value, or None where it is undefined.
        requires: module it needs; "" for none.
    """

    unit: str
    better: str
    definition: str
    function: Callable[[Tensor, Tensor, int], float | None]
    requires: str = ""

    @property
    def available(self) -> bool:
        """Whether what it needs is installed."""
        return not self.requires or importlib.util.find_spec(self.requires) is not None


def si_sdr(x: Waveform, x_hat: Waveform, sample_rate: int) -> float | None:
    """Return the scale-invariant signal-to-distortion ratio (dB).

    Source: Le Roux et al. 2019 (arXiv:1811.02508), eq. 3, means removed first. None for silence.
    """
    del sample_rate
    target, estimate = (s.double() - s.double().mean() for s in (x, x_hat))
    power = float(target.square().sum())
    if power == 0.0 or float(estimate.square().sum()) == 0.0:
        return None
    projected = (estimate * target).sum() / power * target
    error = float((projected - estimate).square().sum())
    return 10.0 * math.log10(max(float(projected.square().sum()), 1e-20) / max(error, 1e-20))


def log_mel_distance(x: Waveform, x_hat: Waveform, sample_rate: int) -> float | None:
    """Return the mean absolute difference of log-mel spectrograms (dB), floor at -80 dB.

    80 mel bands (Slaney), window 64 ms, hop 16 ms; both floors are 80 dB below the original's
    loudest point, so that differences nobody could hear do not count. None for silence.
    """
    spectrogram, filters = _mel(sample_rate)
    a, b = (20.0 * filters(spectrogram(s)).clamp_min(1e-10).log10() for s in (x, x_hat))
    if float(x.abs().max()) == 0.0:
        return None
    floor = a.max() - 80.0
    return float((a.maximum(floor) - b.maximum(floor)).abs().mean())


def stft_distance(x: Waveform, x_hat: Waveform, sample_rate: int) -> float | None:
    """Return spectral convergence plus log-magnitude L1, mean of windows of 512, 1024, 2048.

    Source: Yamamoto et al. 2020 (arXiv:1910.11480), eq. 3-6. None for silence.
    """
    del sample_rate
    if float(x.abs().max()) == 0.0:
        return None
    length = torch.tensor([x.shape[-1]])
    values = []
    for n_fft in (512, 1024, 2048):
        spectrogram = spectral.Spectrogram(n_fft)
        a, b, frames = spectrogram(x), spectrogram(x_hat), spectrogram.frames(length)
        values.append(
            float(spectral.spectral_convergence(a, b, frames) + spectral.log_distance(a, b, frames))
        )
    return sum(values) / len(values)


def stoi(x: Waveform, x_hat: Waveform, sample_rate: int) -> float | None:
    """Return short-time objective intelligibility; None when there is too little speech."""
    from pystoi import stoi as compute  # noqa: PLC0415  (optional)

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(compute(x[0, 0].numpy(), x_hat[0, 0].numpy(), sample_rate))
        except (RuntimeWarning, ValueError):
            return None


def pesq(x: Waveform, x_hat: Waveform, sample_rate: int) -> float | None:
    """Return wide-band PESQ at 16 kHz; None when no speech is found."""
    from pesq import PesqError  # noqa: PLC0415  (optional)
    from pesq import pesq as compute  # noqa: PLC0415

    pair = [audio.resample(s, sample_rate, 16000)[0, 0].numpy() for s in (x, x_hat)]
    try:
        return float(compute(16000, *pair, "wb"))
    except (PesqError, ValueError):
        return None


METRICS: dict[str, Metric] = {
    "log_mel_distance": Metric(
        "dB",
        "lower",
        "mean absolute difference of log-mel spectrograms (80 bands, 64 ms windows), floored "
        "80 dB below the original's loudest point",
        log_mel_distance,
    ),
    "stft_distance": Metric(
        "",
        "lower",
        "spectral convergence plus log-magnitude L1 (nepers), mean of windows of 512, 1024 and "
        "2048 samples",
        stft_distance,
    ),
    "si_sdr": Metric(
        "dB",
        "higher",
        "scale-invariant signal-to-distortion ratio; low for models that do not keep phase, "
        "however they sound",
        si_sdr,
    ),
    "stoi": Metric(
        "",
        "higher",
        "short-time objective intelligibility (Taal et al. 2011), about 0 to 1",
        stoi,
        "pystoi",
    ),
    "pesq": Metric(
        "MOS",
        "higher",
        "perceptual evaluation of speech quality, wide band (ITU-T P.862.2), 1.04 to 4.64",
        pesq,
        "pesq",
    ),
}


@lru_cache(maxsize=4)
def _mel(sample_rate: int) -> tuple[spectral.Spectrogram, spectral.MelFilters]:
    n_fft = 2 ** round(math.log2(0.064 * sample_rate))
    return spectral.Spectrogram(n_fft), spectral.MelFilters(sample_rate, n_fft, 80)
