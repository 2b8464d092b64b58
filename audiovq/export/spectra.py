"""The short-time Fourier transforms as convolutions, which every runtime knows and runs fast.

`STFT` and `InverseSTFT` compute transforms of segments, then add the segments up. Here both are one
strided convolution, and its transpose, with windowed sines and cosines as weights: no segment is
copied, and nothing is scattered.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from audiovq.nn.istft import InverseSTFT
from audiovq.nn.stft import STFT, hann


class ConvSTFT(STFT):
    """What `STFT` computes, as a convolution.

    Buffers:
        weight (2 F, 1, n_fft): what each sample adds to the real, then the imaginary parts.
    """

    weight: Float[Tensor, "C 1 n"]

    def __init__(self, plain: STFT) -> None:
        n, hop_length = plain.n_fft, plain.hop_length
        super().__init__(hop_length, n // hop_length, causal=plain.right == 0)
        window = hann(n, torch.zeros((), dtype=torch.float64))
        window = window / window.square().sum().sqrt()
        units = torch.diag(window).roll(-(n // 2), -1)
        spectra = torch.fft.rfft(units)
        weight = torch.cat([spectra.real, spectra.imag], dim=1).T.unsqueeze(1)
        self.register_buffer("weight", weight.float())

    def _of(
        self, padded: Float[Tensor, "B L"]
    ) -> tuple[Float[Tensor, "B T F"], Float[Tensor, "B T F"]]:
        both = F.conv1d(padded.unsqueeze(1), self.weight, stride=self.hop_length).transpose(1, 2)
        return both[..., : self.bins], both[..., self.bins :]


class ConvInverseSTFT(InverseSTFT):
    """What `InverseSTFT` computes, as a transposed convolution.

    Buffers:
        weight (2 F, 1, n_fft): what real, then imaginary parts add to the samples.
        squares (1, 1, n_fft): the squared window.
    """

    weight: Float[Tensor, "C 1 n"]
    squares: Float[Tensor, "1 1 n"]

    def __init__(self, plain: InverseSTFT) -> None:
        super().__init__(plain.hop_length, plain.overlap, causal=plain.before == 0)
        n = self.n_fft
        unit = torch.eye(self.bins, dtype=torch.float64)
        zero = torch.zeros_like(unit)
        units = torch.cat([torch.complex(unit, zero), torch.complex(zero, unit)])
        window = hann(n, unit)
        weight = torch.fft.irfft(units, n).roll(n // 2, -1) * window
        self.register_buffer("weight", weight.unsqueeze(1).float())
        self.register_buffer("squares", window.square().view(1, 1, -1).float())

    def forward(
        self,
        real: Float[Tensor, "B T F"],
        imaginary: Float[Tensor, "B T F"],
        mask: Float[Tensor, "#B 1 T"] | None = None,
    ) -> Float[Tensor, "B 1 L"]:
        """Return the L = T * hop_length samples of T spectra, all of which exist."""
        assert mask is None
        samples = real.shape[1] * self.hop_length
        y = self._sums(real, imaginary)[..., self.before : self.before + samples]
        return y[:, :1] / y[:, 1:].clamp_min(self.floor)

    def initial_state(self, batch: int, like: Tensor) -> Float[Tensor, "B 2 P"]:
        """Return what spectra before the first add to the samples to come: nothing.

        Row 0 is of the samples, row 1 of the divisor, which both sum up as spectra come.
        """
        assert self.before == 0, "a transform that looks ahead has no steps"
        return like.new_zeros(batch, 2, self.n_fft - self.hop_length)

    def step(
        self,
        real: Float[Tensor, "B T F"],
        imaginary: Float[Tensor, "B T F"],
        past: Float[Tensor, "B 2 P"],
    ) -> tuple[Float[Tensor, "B L 1"], Float[Tensor, "B 2 P"]]:
        """Return the samples of the next spectra, and the new state."""
        samples = real.shape[1] * self.hop_length
        y = self._sums(real, imaginary) + F.pad(past, (0, samples))
        done = y[..., :samples]
        return (done[:, 0] / done[:, 1].clamp_min(self.floor)).unsqueeze(-1), y[..., samples:]

    def _sums(
        self, real: Float[Tensor, "B T F"], imaginary: Float[Tensor, "B T F"]
    ) -> Float[Tensor, "B 2 _"]:
        """Return the overlapping segments added up, and the squared windows added up."""
        parts = torch.cat([real, imaginary], dim=-1).transpose(1, 2)
        ones = torch.ones_like(real[:, :, :1]).transpose(1, 2)
        sums = F.conv_transpose1d(parts, self.weight, stride=self.hop_length)
        windows = F.conv_transpose1d(ones, self.squares, stride=self.hop_length)
        return torch.cat([sums, windows], dim=1)


def by_convolution(model: nn.Module) -> None:
    """Replace every transform within a model, in place, by its convolution."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, STFT):
                setattr(module, name, ConvSTFT(child))
            elif isinstance(child, InverseSTFT):
                setattr(module, name, ConvInverseSTFT(child))
