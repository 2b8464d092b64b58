"""The short-time Fourier transforms as products, which every runtime knows and runs fast.

Of many spectra at once, each segment is folded about its middle: what is even in time makes the
real parts and what is odd the imaginary ones, by matrices of cosines and of sines a quarter as
large as the transform's. A step of a stream, of a few spectra, is one strided convolution with
windowed sines and cosines as weights, or its transpose: fewer calls, and no segment is copied.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from audiovq.nn.istft import InverseSTFT
from audiovq.nn.stft import STFT, hann


class ProductSTFT(STFT):
    """What `STFT` computes.

    Buffers:
        window (n_fft): of rms 1.
        cosines (H, F): what the even part of a segment, from its middle on, adds to real parts.
        sines (H', F): what the odd part adds to imaginary parts.
        weight (2 F, 1, n_fft): what each sample adds to both.
    """

    window: Float[Tensor, "n"]
    cosines: Float[Tensor, "H F"]
    sines: Float[Tensor, "G F"]
    weight: Float[Tensor, "C 1 n"]

    def __init__(self, plain: STFT) -> None:
        n, hop_length = plain.n_fft, plain.hop_length
        super().__init__(hop_length, n // hop_length, causal=plain.right == 0)
        window = hann(n, torch.zeros((), dtype=torch.float64))
        window = window / window.square().sum().sqrt()
        spectra = torch.fft.rfft(torch.eye(n, dtype=torch.float64))
        self.register_buffer("window", window.float())
        self.register_buffer("cosines", spectra.real[: n // 2 + 1].float())
        self.register_buffer("sines", spectra.imag[1 : _pairs(n) + 1].float())
        of_windowed = torch.fft.rfft(torch.diag(window).roll(-(n // 2), -1))
        weight = torch.cat([of_windowed.real, of_windowed.imag], dim=1).T.unsqueeze(1)
        self.register_buffer("weight", weight.float())

    def forward(
        self, x: Float[Tensor, "B 1 L"]
    ) -> tuple[Float[Tensor, "B T F"], Float[Tensor, "B T F"]]:
        """Return real and imaginary parts of the T spectra of L = T * hop_length samples."""
        hops = F.pad(x[:, 0], (self.left, self.right)).view(x.shape[0], -1, self.hop_length)
        overlap, middle = self.n_fft // self.hop_length, self.n_fft // 2
        spectra, pairs = hops.shape[1] - overlap + 1, _pairs(self.n_fft)
        segments = torch.cat([hops[:, i : i + spectra] for i in range(overlap)], dim=-1)
        segments = segments * self.window
        before = segments[..., middle - pairs : middle].flip(-1)
        after = segments[..., middle + 1 : middle + 1 + pairs]
        first = segments[..., : middle - pairs]  # of an even number, the one without a partner
        even = torch.cat([segments[..., middle : middle + 1], after + before, first], dim=-1)
        return even @ self.cosines, (after - before) @ self.sines

    def _of(
        self, padded: Float[Tensor, "B L"]
    ) -> tuple[Float[Tensor, "B T F"], Float[Tensor, "B T F"]]:
        both = F.conv1d(padded.unsqueeze(1), self.weight, stride=self.hop_length).transpose(1, 2)
        return both[..., : self.bins], both[..., self.bins :]


class ProductInverseSTFT(InverseSTFT):
    """What `InverseSTFT` computes.

    Buffers:
        window (n_fft): of the segments.
        cosines (F, H): what real parts add to the even part of a segment, from its middle on.
        sines (F, H'): what imaginary parts add to the odd part.
        weight (2 F, 1, n_fft): what real, then imaginary parts add to the samples.
        squares (1, 1, n_fft): the squared window.
    """

    window: Float[Tensor, "n"]
    cosines: Float[Tensor, "F H"]
    sines: Float[Tensor, "F G"]
    weight: Float[Tensor, "C 1 n"]
    squares: Float[Tensor, "1 1 n"]

    def __init__(self, plain: InverseSTFT) -> None:
        super().__init__(plain.hop_length, plain.overlap, causal=plain.before == 0)
        n = self.n_fft
        unit = torch.eye(self.bins, dtype=torch.float64)
        zero = torch.zeros_like(unit)
        waves = torch.fft.irfft(
            torch.cat([torch.complex(unit, zero), torch.complex(zero, unit)]), n
        )
        window = hann(n, unit)
        weight = waves.roll(n // 2, -1) * window
        self.register_buffer("window", window.float())
        self.register_buffer("cosines", waves[: self.bins, : n // 2 + 1].float())
        self.register_buffer("sines", waves[self.bins :, 1 : _pairs(n) + 1].float())
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
        pairs = _pairs(self.n_fft)
        even, odd = real @ self.cosines, imaginary @ self.sines
        both, first = even[..., 1 : pairs + 1], even[..., pairs + 1 :]
        segments = torch.cat([first, (both - odd).flip(-1), even[..., :1], both + odd], dim=-1)
        hops = (segments * self.window).chunk(self.overlap, dim=-1)
        late = self.overlap - 1
        sums = sum(F.pad(h, (0, 0, i, late - i)) for i, h in enumerate(hops))
        assert isinstance(sums, Tensor)
        own = slice(self.before, self.before + real.shape[1] * self.hop_length)
        y = sums.flatten(1)[:, own] / self._divisor(real)[:, 0, own].clamp_min(self.floor)
        return y.unsqueeze(1)

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
        sums = F.conv_transpose1d(parts, self.weight, stride=self.hop_length)
        return torch.cat([sums, self._divisor(real)], dim=1)

    def _divisor(self, real: Float[Tensor, "B T F"]) -> Float[Tensor, "B 1 _"]:
        """Return the squared windows of spectra added up."""
        ones = torch.ones_like(real[:, :, :1]).transpose(1, 2)
        return F.conv_transpose1d(ones, self.squares, stride=self.hop_length)


def _pairs(n: int) -> int:
    """Return how many samples of a segment have one equally far on the middle's other side."""
    return (n - 1) // 2


def by_products(model: nn.Module) -> None:
    """Replace every transform within a model, in place."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, STFT):
                setattr(module, name, ProductSTFT(child))
            elif isinstance(child, InverseSTFT):
                setattr(module, name, ProductInverseSTFT(child))
