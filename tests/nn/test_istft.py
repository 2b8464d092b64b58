import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import istft

from audiovq.nn.conv import Span
from audiovq.nn.istft import InverseSTFT
from audiovq.nn.stft import hann

shapes = st.builds(
    dict, hop_length=st.integers(1, 9), overlap=st.integers(2, 6), causal=st.booleans()
)


def inverse(**values):
    return InverseSTFT(**values).double()


def spectra(frames, module):
    """Spectra (1, T, F) of noise, real and imaginary parts."""
    shape = (1, frames, module.bins)
    return torch.randn(shape, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)


def analysed(x, module):
    """The spectra of a signal by the module's own window, zeros beyond its ends."""
    n, hop = module.n_fft, module.hop_length
    padded = torch.nn.functional.pad(x, (module.before, n - hop - module.before))
    segments = padded.unfold(-1, n, hop) * hann(module.n_fft, x)
    return torch.fft.rfft(segments.roll(-(n // 2), -1))


def plain(real, imaginary, module):
    """The samples, one spectrum, bin and sample at a time: the slow, obvious way."""
    frames, n, hop = real.shape[1], module.n_fft, module.hop_length
    total, divisor = np.zeros((frames + n) * hop), np.zeros((frames + n) * hop)
    for t in range(frames):
        for k in range(n):
            window = math.sin(math.pi * (k + 0.5) / n) ** 2
            value = 0.0
            for f in range(module.bins):
                sides = 1 if f == 0 or 2 * f == n else 2
                angle = 2 * math.pi * f * (k - n // 2) / n
                value += sides * real[0, t, f].item() * math.cos(angle)
                value -= sides * imaginary[0, t, f].item() * math.sin(angle)
            total[t * hop + k] += value / n * window
            divisor[t * hop + k] += window**2
    own = slice(module.before, module.before + frames * hop)
    return total[own] / np.maximum(divisor[own], 0.1 * module.power)


@settings(max_examples=15, deadline=None)
@given(shapes)
def test_it_is_the_sum_of_windowed_waves(shape):
    module = inverse(**shape)
    parts = spectra(4, module)
    y = module(*parts)
    assert y.shape == (1, 1, 4 * module.hop_length)
    np.testing.assert_allclose(y[0, 0].numpy(), plain(*parts, module), atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(shapes)
def test_a_signal_comes_back_ends_included(shape):
    module = inverse(**shape)
    x = torch.randn(1, 12 * module.hop_length, dtype=torch.float64)
    found = analysed(x, module)
    error = (module(found.real, found.imag)[:, 0] - x).abs()[0]
    if shape["causal"]:  # it fades in where the first window rises alone
        error = error[math.ceil(0.25 * module.n_fft) :]
    assert error.max() < 1e-10


@pytest.mark.parametrize("n_fft", [16, 320])
def test_inside_it_is_the_inverse_of_torch_and_scipy(n_fft):
    module, hop = inverse(hop_length=n_fft // 4, overlap=4), n_fft // 4
    x = torch.randn(20 * hop, dtype=torch.float64)
    found = torch.stft(
        x, n_fft, hop, window=hann(module.n_fft, x), center=False, return_complex=True
    )
    turn = torch.exp(
        2j * math.pi * (n_fft // 2) / n_fft * torch.arange(module.bins, dtype=torch.float64)
    )
    ours = (found.T * turn).unsqueeze(0)
    y = module(ours.real, ours.imag)[0, 0]
    inside = slice(n_fft, y.shape[0] - n_fft)  # its first spectrum begins `before` earlier
    shifted = x[module.before :][: y.shape[0]]
    torch.testing.assert_close(y[inside], shifted[inside], atol=1e-10, rtol=0)
    window = hann(module.n_fft, x).numpy()
    _, theirs = istft(
        found.numpy() / window.sum(), window=window, nperseg=n_fft, noverlap=n_fft - hop,
        boundary=False,
    )  # fmt: skip
    theirs = torch.from_numpy(theirs)[module.before :][: y.shape[0]]
    torch.testing.assert_close(y[inside], theirs[inside], atol=1e-10, rtol=0)


@settings(max_examples=30, deadline=None)
@given(shapes, st.integers(0, 30), st.integers(1, 20))
def test_the_span_is_what_gradients_find(shape, start, size):
    module = inverse(**shape)
    around = 2 * module.overlap  # spectra, so that none that matters is missing
    real, imaginary = (p.requires_grad_() for p in spectra(2 * around + 60, module))
    first = around * module.hop_length + start
    out = Span(first, first + size)
    module(real, imaginary)[..., out.start : out.end].square().sum().backward()
    seen = (real.grad[0].abs().sum(1) > 0).nonzero().flatten()
    assert (seen[0], seen[-1] + 1) == tuple(vars(module.input_span(out)).values())
    if shape["causal"]:
        assert module.input_span(out).end * module.hop_length < out.end + module.hop_length


@settings(max_examples=20, deadline=None)
@given(shapes)
def test_masked_spectra_do_not_exist(shape):
    module = inverse(**shape)
    parts = spectra(9, module)
    mask = torch.ones(1, 1, 9, dtype=torch.float64)
    mask[..., 6:] = 0
    alone = module(*(p[:, :6] for p in parts))
    torch.testing.assert_close(module(*parts, mask)[..., : alone.shape[-1]], alone)


@pytest.mark.parametrize(
    "shape", [{"hop_length": 8, "overlap": 4}, {"hop_length": 3, "overlap": 3}]
)
def test_traced_it_is_a_product_and_the_same(shape):
    module = inverse(**shape)
    parts = spectra(5, module)
    traced = torch.export.export(module, parts, strict=False)
    assert "fft" not in str(traced.graph)
    torch.testing.assert_close(traced.module()(*parts), module(*parts), atol=1e-10, rtol=1e-10)


def test_unrelated_phases_of_the_stated_magnitude_have_the_stated_level():
    module = inverse(hop_length=20, overlap=4)
    magnitude = module.magnitude(0.05)
    angle = 2 * math.pi * torch.rand(1, 4000, module.bins, dtype=torch.float64)
    y = module(magnitude * angle.cos(), magnitude * angle.sin())
    assert y.square().mean().sqrt().item() == pytest.approx(0.05, rel=0.03)
