"""Inverse short-time Fourier transform of exact length, centred or causal.

Spectrum t of T gives `n_fft = overlap * hop_length` samples, which are windowed, overlapped and
added; T spectra give exactly T * hop_length samples. With h = hop_length, spectrum t lies over

    centred: samples [t*h - c, t*h - c + n_fft), c = (n_fft - h) // 2, about its own h samples
    causal:  samples [t*h, t*h + n_fft): it changes no sample before its own

The sum is divided by the sum of the squared windows of those spectra that exist, so that the
analysis of a signal by the same window, put in, gives that signal back. Spectra beyond an item's
ends do not exist, whether it is alone, padded or in a chunk. Centred, the divisor is at least half
of what it is inside. Causal, it starts near 0, as only the window's rising edge covers the first
samples; it is floored there, and an item fades in over about n_fft / 5 samples.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from audiovq.nn import lean
from audiovq.nn.conv import Span
from audiovq.nn.stft import hann

_FLOOR = 0.1  # of the divisor inside: errors at a causal item's start grow by less than 3


class InverseSTFT(nn.Module):
    """Spectra, as real and imaginary parts, to samples.

    Source: Griffin & Lim 1984, eq. 6; the "same" padding of Vocos (Siuzdak 2023, arXiv:2306.00814).
    Differs in: the Hann window is sampled between its zeros, so that every sample of it
    counts; phases are relative to the window's middle, so a pulse there has phase 0 in all bins
    and not one that turns by pi from each to the next; ends are the item's, not the tensor's.

    It holds no tensors, so that a model's file and a load from it need none.

    Args:
        hop_length: samples per spectrum.
        overlap: spectra that cover a sample; from 3 on the sum of squared windows is constant.
        causal: whether a spectrum may change no sample before its own.
    """

    def __init__(self, hop_length: int, overlap: int, *, causal: bool = False) -> None:
        super().__init__()
        self.hop_length, self.overlap = hop_length, overlap
        self.n_fft = n = hop_length * overlap
        self.bins = n // 2 + 1
        self.before = 0 if causal else (n - hop_length) // 2  # samples before a spectrum's own
        # The divisor inside, on average.
        self.power = sum(math.sin(math.pi * (k + 0.5) / n) ** 4 for k in range(n)) / hop_length

    def forward(
        self,
        real: Float[Tensor, "B T F"],
        imaginary: Float[Tensor, "B T F"],
        mask: Float[Tensor, "#B 1 T"] | None = None,
    ) -> Float[Tensor, "B 1 L"]:
        """Return the L = T * hop_length samples of T spectra.

        Args:
            real: parts of all bins, in float32 or float64.
            imaginary: likewise; that of bin 0, and of the last for an even n_fft, counts for
                nothing.
            mask: 0 where a spectrum does not exist; None: all do.
        """
        window = hann(self.n_fft, real)
        segments = self._segments(real, imaginary) * window
        exist = real.new_ones(1, real.shape[1], 1) if mask is None else mask.transpose(1, 2)
        if mask is not None:
            segments = segments * exist
        divisor = self._own(self._overlap_add(exist * window.square()))
        y = self._own(self._overlap_add(segments)) / divisor.clamp_min(self.floor)
        return y.unsqueeze(1)

    def initial_state(self, batch: int, like: Tensor) -> Float[Tensor, "B P M"]:
        """Return the state before the first spectrum: none of those that still sound exist.

        A row is of one spectrum: its windowed segment, and behind that 1 as it exists.
        """
        assert self.before == 0, "a transform that looks ahead has no steps"
        return like.new_zeros(batch, self.overlap - 1, self.n_fft + 1)

    def step(
        self,
        real: Float[Tensor, "B T F"],
        imaginary: Float[Tensor, "B T F"],
        past: Float[Tensor, "B P M"],
    ) -> tuple[Float[Tensor, "B L 1"], Float[Tensor, "B P M"]]:
        """Return the samples of the next T spectra, and the new state."""
        window, squares = lean.kept(self, lambda: self._windows(real))
        segments = F.pad(self._segments(real, imaginary) * window, (0, 1), value=1.0)
        rows = torch.cat([past, segments], dim=1)
        exist = rows[..., -1].unfold(1, self.overlap, 1)
        y = self._sounding(rows) / (exist @ squares).clamp_min(self.floor)
        return y.view(y.shape[0], -1, 1), rows.narrow(1, real.shape[1], past.shape[1])

    def _windows(self, like: Tensor) -> tuple[Float[Tensor, "n"], Float[Tensor, "O h"]]:
        """Return the window, and what each of the spectra over a hop adds to the divisor there."""
        window = hann(self.n_fft, like)
        return window, window.square().view(self.overlap, self.hop_length).flip(0)

    def _sounding(self, rows: Float[Tensor, "B R M"]) -> Float[Tensor, "B T h"]:
        """Return, of each spectrum that has all before it, the sum of what sounds with it."""
        (B, R, M), over, hop = rows.shape, self.overlap, self.hop_length
        T, last = R - over + 1, hop * (over - 1)
        if torch.compiler.is_compiling():  # exporters know no strides
            starts = enumerate(range(last, -1, -hop))
            return torch.stack([rows[:, k : k + T, s : s + hop] for k, s in starts]).sum(dim=0)
        return rows.as_strided((B, T, over, hop), (R * M, M, M - hop, 1), last).sum(dim=2)

    def input_span(self, out: Span) -> Span:
        """Return the spectra that the samples `out` depend on."""
        first, last = out.start + self.before, out.end - 1 + self.before
        return Span((first - self.n_fft) // self.hop_length + 1, last // self.hop_length + 1)

    def magnitude(self, rms: float) -> float:
        """Return the magnitude of all bins at which unrelated phases give samples of that rms."""
        return rms * math.sqrt(self.n_fft * self.power)

    @property
    def floor(self) -> float:
        """The least that samples are divided by."""
        return _FLOOR * self.power

    def _segments(
        self, real: Float[Tensor, "B T F"], imaginary: Float[Tensor, "B T F"]
    ) -> Float[Tensor, "B T n"]:
        """Return the inverse transform of each spectrum.

        A product of matrices is what compilers and exporters know. In n_fft = 320 it takes half
        as long again as the FFT on one CPU thread, in 640 and 1,280 7 and 13 times as long.
        """
        if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            return torch.cat([real, imaginary], dim=-1) @ _inverse_dft(self.n_fft, real)
        segments: Tensor = torch.fft.irfft(torch.complex(real, imaginary), self.n_fft)
        return segments.roll(self.n_fft // 2, -1)

    def _own(self, y: Float[Tensor, "B P"]) -> Float[Tensor, "B L"]:
        """Cut off what lies beyond the spectra's own samples."""
        return y[:, self.before : self.before + y.shape[1] - self.n_fft + self.hop_length]

    def _overlap_add(self, segments: Float[Tensor, "B T n"]) -> Float[Tensor, "B L"]:
        """Add up segments a hop apart, from the first one's start to the last one's end.

        Three to six times as fast as `fold`, padding and `index_add`, and in one order everywhere.
        """
        B, T, _ = segments.shape
        y = segments.new_zeros(B, T + self.overlap - 1, self.hop_length)
        for k, part in enumerate(segments.chunk(self.overlap, dim=-1)):
            y[:, k : k + T] += part
        return y.flatten(1)


def _inverse_dft(n: int, like: Tensor) -> Float[Tensor, "C {n}"]:
    """Return what the real, then the imaginary parts of a real signal's bins add to it.

    Phases relative to sample n // 2; in the dtype and on the device of a tensor.
    """
    bins = torch.arange(n // 2 + 1, device=like.device)
    steps = torch.arange(n, device=like.device) - n // 2
    angle = 2 * math.pi / n * torch.outer(bins, steps).remainder(n).to(like.dtype)
    sides = (
        torch.where((bins == 0) | (2 * bins == n), 1.0, 2.0).to(angle).unsqueeze(1)
    )  # its mirror image
    return torch.cat([sides * angle.cos(), -sides * angle.sin()]) / n
