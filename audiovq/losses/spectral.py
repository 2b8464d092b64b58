"""Distances between spectrograms at several resolutions.

Frame k of a spectrogram is centred on sample k * n_fft / 4, and samples outside the item count as
zero. An item of n samples has ceil(4 n / n_fft) frames, however long the batch it is padded to.
"""

import torch
from jaxtyping import Bool, Complex, Float, Int
from torch import Tensor, nn

FLOOR = 1e-5  # magnitudes below this count as this, so that silence has a finite logarithm
# Complex distances: the power to which magnitudes are raised, and the magnitude below which bins
# are no longer raised, so that gradients stay finite (with a window of 512, tones of -102 dBFS).
_COMPRESSION = 0.5
_COMPLEX_FLOOR = 1e-3


class Spectrogram(nn.Module):
    """Magnitude spectrogram at one resolution, Hann window, hop of a quarter window.

    Args:
        n_fft: window and transform, in samples.
    """

    window: Float[Tensor, "n_fft"]

    def __init__(self, n_fft: int) -> None:
        super().__init__()
        self.n_fft, self.hop_length = n_fft, n_fft // 4
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, x: Float[Tensor, "B 1 L"]) -> Float[Tensor, "B F S"]:
        """Return magnitudes: n_fft // 2 + 1 bins F, and S frames."""
        return self.spectrum(x).abs()

    def spectrum(self, x: Float[Tensor, "B 1 L"]) -> Complex[Tensor, "B F S"]:
        """Return complex bins."""
        bins = torch.stft(
            x[:, 0],
            self.n_fft,
            self.hop_length,
            window=self.window,
            pad_mode="constant",
            return_complex=True,
        )
        return bins.contiguous()  # torch 2.13 fails to compile the terms together without it

    def frames(self, lengths: Int[Tensor, "B"]) -> Int[Tensor, "B"]:
        """Return the real frames of items of that many samples."""
        return -(-lengths // self.hop_length)


class MelFilters(nn.Module):
    """Slaney mel filters with unit area, as librosa's default.

    Args:
        sample_rate: Hz; the filters reach up to half of it.
        n_fft: transform of the spectrogram they act on, in samples.
        n_mels: number of filters.
    """

    filters: Float[Tensor, "M F"]

    def __init__(self, sample_rate: int, n_fft: int, n_mels: int) -> None:
        super().__init__()
        from audiovq._torchaudio import torchaudio  # noqa: PLC0415  (a second to import)

        filters = torchaudio.functional.melscale_fbanks(
            n_fft // 2 + 1, 0.0, sample_rate / 2, n_mels, sample_rate, "slaney", "slaney"
        )
        self.register_buffer("filters", filters.T.contiguous(), persistent=False)

    def forward(self, magnitude: Float[Tensor, "B F S"]) -> Float[Tensor, "B M S"]:
        """Return mel magnitudes."""
        return self.filters @ magnitude


def log_distance(
    a: Float[Tensor, "B F S"], b: Float[Tensor, "B F S"], frames: Int[Tensor, "B"]
) -> Float[Tensor, "B"]:
    """Return the mean absolute difference of natural logarithms over real frames, in nepers."""
    distance = (a.clamp_min(FLOOR).log() - b.clamp_min(FLOOR).log()).abs()
    real = _real(distance, frames)
    return distance.where(real, 0.0).sum(dim=(1, 2)) / (frames * a.shape[1])


def spectral_convergence(
    target: Float[Tensor, "B F S"], estimate: Float[Tensor, "B F S"], frames: Int[Tensor, "B"]
) -> Float[Tensor, "B"]:
    """Return ||target - estimate|| / ||target|| over each item's real frames.

    Source: Arik et al. 2018 (arXiv:1808.06719), eq. 2; per item, not per batch. 0 for silence
    given back as silence.
    """
    real = _real(target, frames)
    error = (target - estimate).where(real, 0.0).square().sum(dim=(1, 2))
    power = target.where(real, 0.0).square().sum(dim=(1, 2))
    floor = FLOOR**2 * frames * target.shape[1]
    return ((error + floor) / (power + floor)).sqrt() - (floor / (power + floor)).sqrt()


def complex_distance(
    target: Complex[Tensor, "B F S"], estimate: Complex[Tensor, "B F S"], frames: Int[Tensor, "B"]
) -> Float[Tensor, "B"]:
    """Return the share of each item's compressed energy that an estimate misses, phases included.

    Bins keep their phase and have the square root of their magnitude. 0 is equal, 1 is what
    silence gets, and unrelated phases get more. Without a term that knows phases a decoder has no
    reason to give a voice its pitch: the same level of another period is as good.

    It has no upper bound: sound where the target is silent costs as much as it is louder.

    Source: Braun & Tashev 2021 (arXiv:2009.12286), whose compressed complex term stands beside one
    of magnitudes, with an exponent of 0.3. Here it is relative to the target's energy, so that
    quiet recordings weigh as much as loud ones.
    """
    (a, a_imag), (b, b_imag) = _compressed(target), _compressed(estimate)
    real = _real(a, frames)
    error = ((a - b).square() + (a_imag - b_imag).square()).where(real, 0.0).sum(dim=(1, 2))
    energy = (a.square() + a_imag.square()).where(real, 0.0).sum(dim=(1, 2))
    return error / (energy + _COMPLEX_FLOOR * frames * target.shape[1])


def _compressed(
    spectrum: Complex[Tensor, "B F S"],
) -> tuple[Float[Tensor, "B F S"], Float[Tensor, "B F S"]]:
    real, imaginary = spectrum.real, spectrum.imag
    power = real.square() + imaginary.square() + _COMPLEX_FLOOR**2
    scale = power ** ((_COMPRESSION - 1) / 2)
    return real * scale, imaginary * scale


def _real(x: Float[Tensor, "B F S"], frames: Int[Tensor, "B"]) -> Bool[Tensor, "B 1 S"]:
    return torch.arange(x.shape[-1], device=x.device) < frames.view(-1, 1, 1)
