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


class ConvSTFT(nn.Module):
    """What `STFT` computes, as a convolution.

    Buffers:
        weight (2 F, 1, n_fft): what each sample adds to the real, then the imaginary parts.
    """

    weight: Float[Tensor, "C 1 n"]

    def __init__(self, plain: STFT) -> None:
        super().__init__()
        n, self.hop_length = plain.n_fft, plain.hop_length
        self.bins, self.left, self.right = plain.bins, plain.left, plain.right
        window = hann(n, torch.zeros((), dtype=torch.float64))
        window = window / window.square().sum().sqrt()
        units = torch.diag(window).roll(-(n // 2), -1)
        spectra = torch.fft.rfft(units)
        weight = torch.cat([spectra.real, spectra.imag], dim=1).T.unsqueeze(1)
        self.register_buffer("weight", weight.float())

    def forward(
        self, x: Float[Tensor, "B 1 L"]
    ) -> tuple[Float[Tensor, "B T F"], Float[Tensor, "B T F"]]:
        """Return real and imaginary parts of the T spectra of L = T * hop_length samples."""
        return self._parts(F.pad(x, (self.left, self.right)))

    def initial_state(self, batch: int, like: Tensor) -> Float[Tensor, "B 1 P"]:
        """Return the samples before the first, which are 0."""
        assert self.right == 0, "a transform that looks ahead has no steps"
        return like.new_zeros(batch, 1, self.left)

    def step(
        self, x: Float[Tensor, "B 1 L"], past: Float[Tensor, "B 1 P"]
    ) -> tuple[Float[Tensor, "B T F"], Float[Tensor, "B T F"], Float[Tensor, "B 1 P"]]:
        """Return both parts of the spectra of the next samples, and the new state."""
        seen = torch.cat([past, x], dim=-1)
        return *self._parts(seen), seen[..., seen.shape[-1] - self.left :]

    def _parts(
        self, x: Float[Tensor, "B 1 _"]
    ) -> tuple[Float[Tensor, "B T F"], Float[Tensor, "B T F"]]:
        both = F.conv1d(x, self.weight, stride=self.hop_length).transpose(1, 2)
        return both[..., : self.bins], both[..., self.bins :]


class ConvInverseSTFT(nn.Module):
    """What `InverseSTFT` computes, as a transposed convolution.

    Buffers:
        weight (2 F, 1, n_fft): what real, then imaginary parts add to the samples.
        power (1, 1, n_fft): the squared window.
    """

    weight: Float[Tensor, "C 1 n"]
    power: Float[Tensor, "1 1 n"]

    def __init__(self, plain: InverseSTFT) -> None:
        super().__init__()
        n, self.hop_length = plain.n_fft, plain.hop_length
        self.n_fft, self.before, self.floor = n, plain.before, plain.floor
        unit = torch.eye(plain.bins, dtype=torch.float64)
        zero = torch.zeros_like(unit)
        units = torch.cat([torch.complex(unit, zero), torch.complex(zero, unit)])
        window = hann(n, unit)
        weight = torch.fft.irfft(units, n).roll(n // 2, -1) * window
        self.register_buffer("weight", weight.unsqueeze(1).float())
        self.register_buffer("power", window.square().view(1, 1, -1).float())

    def forward(
        self,
        real: Float[Tensor, "B T F"],
        imaginary: Float[Tensor, "B T F"],
        mask: None = None,
    ) -> Float[Tensor, "B 1 L"]:
        """Return the L = T * hop_length samples of T spectra, all of which exist."""
        del mask
        samples = real.shape[1] * self.hop_length
        y = self._sums(real, imaginary)[..., self.before : self.before + samples]
        return y[:, :1] / y[:, 1:].clamp_min(self.floor)

    def initial_state(self, batch: int, like: Tensor) -> Float[Tensor, "B 2 P"]:
        """Return what spectra before the first add to the samples, and to the divisor: nothing."""
        assert self.before == 0, "a transform that looks ahead has no steps"
        return like.new_zeros(batch, 2, self.n_fft - self.hop_length)

    def step(
        self,
        real: Float[Tensor, "B T F"],
        imaginary: Float[Tensor, "B T F"],
        past: Float[Tensor, "B 2 P"],
    ) -> tuple[Float[Tensor, "B 1 L"], Float[Tensor, "B 2 P"]]:
        """Return the samples of the next spectra, and the new state."""
        samples = real.shape[1] * self.hop_length
        y = self._sums(real, imaginary) + F.pad(past, (0, samples))
        done = y[..., :samples]
        return done[:, :1] / done[:, 1:].clamp_min(self.floor), y[..., samples:]

    def _sums(
        self, real: Float[Tensor, "B T F"], imaginary: Float[Tensor, "B T F"]
    ) -> Float[Tensor, "B 2 _"]:
        """Return the overlapping segments added up, and the squared windows added up."""
        parts = torch.cat([real, imaginary], dim=-1).transpose(1, 2)
        ones = torch.ones_like(real[:, :, :1]).transpose(1, 2)
        sums = F.conv_transpose1d(parts, self.weight, stride=self.hop_length)
        windows = F.conv_transpose1d(ones, self.power, stride=self.hop_length)
        return torch.cat([sums, windows], dim=1)


def by_convolution(model: nn.Module) -> None:
    """Replace every transform within a model, in place, by its convolution."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, STFT):
                setattr(module, name, ConvSTFT(child))
            elif isinstance(child, InverseSTFT):
                setattr(module, name, ConvInverseSTFT(child))
