"""Short-time Fourier transform of exact length, centred or causal.

T * hop_length samples give exactly T spectra. With h = hop_length and n_fft = overlap * h, spectrum
t is of the samples

    centred: [t*h - c, t*h - c + n_fft), c = (n_fft - h) // 2, about its own h samples
    causal:  [t*h + h - n_fft, t*h + h): none after its own

where those beyond the ends are 0.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from audiovq.nn import lean
from audiovq.nn.conv import Span


class STFT(nn.Module):
    """Samples to spectra, as real and imaginary parts; noise of rms 1 has bins of rms 1.

    The Hann window is sampled between its zeros, so that every sample of it counts, and phases are
    relative to its middle, as in `InverseSTFT`.

    It holds no tensors, so that a model's file and a load from it need none.

    Args:
        hop_length: samples per spectrum.
        overlap: spectra that look at a sample.
        causal: whether a spectrum may depend on no sample after its own.
    """

    def __init__(self, hop_length: int, overlap: int, *, causal: bool = False) -> None:
        super().__init__()
        self.hop_length, self.n_fft = hop_length, hop_length * overlap
        self.bins = self.n_fft // 2 + 1
        others = self.n_fft - hop_length
        self.left = others if causal else others // 2  # samples before a spectrum's own
        self.right = others - self.left

    def forward(
        self, x: Float[Tensor, "B 1 L"]
    ) -> tuple[Float[Tensor, "B T F"], Float[Tensor, "B T F"]]:
        """Return real and imaginary parts of the T spectra of L = T * hop_length samples."""
        return self._of(F.pad(x[:, 0], (self.left, self.right)))

    def initial_state(self, batch: int, like: Tensor) -> Float[Tensor, "B P 1"]:
        """Return the samples before the first, in the dtype and on the device of `like`."""
        assert self.right == 0, "a transform that looks ahead has no steps"
        return like.new_zeros(batch, self.left, 1)

    def step(
        self, x: Float[Tensor, "B L 1"], past: Float[Tensor, "B P 1"]
    ) -> tuple[Float[Tensor, "B T F"], Float[Tensor, "B T F"], Float[Tensor, "B P 1"]]:
        """Return real and imaginary parts of the next T * hop_length samples, and the new state."""
        rows = torch.cat([past, x], dim=1)
        return *self._of(rows[..., 0]), rows.narrow(1, x.shape[1], self.left)

    def _of(
        self, padded: Float[Tensor, "B L"]
    ) -> tuple[Float[Tensor, "B T F"], Float[Tensor, "B T F"]]:
        n, x = self.n_fft, padded
        window = lean.kept(self, lambda: _unit_hann(n, x))
        segments = padded.unfold(-1, n, self.hop_length) * window
        if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            parts = segments @ _dft(n, x)  # which compilers and exporters know
            return parts[..., : self.bins], parts[..., self.bins :]
        spectra = torch.fft.rfft(segments.roll(-(n // 2), -1))
        return spectra.real, spectra.imag

    def input_span(self, out: Span) -> Span:
        """Return the samples that the spectra `out` depend on."""
        first, last = out.start * self.hop_length, (out.end - 1) * self.hop_length
        return Span(first - self.left, last - self.left + self.n_fft)


def _unit_hann(n: int, like: Tensor) -> Float[Tensor, "{n}"]:
    window = hann(n, like)
    return window / window.square().sum().sqrt()


def hann(n: int, like: Tensor) -> Float[Tensor, "{n}"]:
    """Return a Hann window sampled between its zeros; dtype and device are those of a tensor."""
    k = torch.arange(n, dtype=like.dtype, device=like.device)
    return torch.sin(math.pi / n * (k + 0.5)).square()


def nearest_divisor(n: int, about: int) -> int:
    """Return the divisor of n that is nearest to a number in ratio."""
    below = next(d for d in range(min(n, about), 0, -1) if n % d == 0)
    farthest = min(n, about * about // below)  # beyond it `below` is nearer
    above = next((d for d in range(about + 1, farthest + 1) if n % d == 0), below)
    return min(below, above, key=lambda d: abs(math.log(d / about)))


def _dft(n: int, like: Tensor) -> Float[Tensor, "{n} C"]:
    """Return the real, then the imaginary parts of what each sample adds to the bins.

    Phases relative to sample n // 2; in the dtype and on the device of a tensor.
    """
    bins = torch.arange(n // 2 + 1, device=like.device)
    steps = torch.arange(n, device=like.device) - n // 2
    angle = 2 * math.pi / n * torch.outer(steps, bins).remainder(n).to(like.dtype)
    return torch.cat([angle.cos(), -angle.sin()], dim=1)
