import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import stft

from audiovq.nn.conv import Span
from audiovq.nn.istft import InverseSTFT
from audiovq.nn.stft import STFT, _dft, hann, nearest_divisor

shapes = st.builds(
    dict, hop_length=st.integers(1, 9), overlap=st.integers(2, 6), causal=st.booleans()
)


def plain(x, module):
    """One spectrum, bin and sample at a time: the slow, obvious way."""
    n, hop = module.n_fft, module.hop_length
    window = [math.sin(math.pi * (k + 0.5) / n) ** 2 for k in range(n)]
    scale = math.sqrt(sum(w * w for w in window))
    found = np.zeros((len(x) // hop, module.bins), complex)
    for t in range(len(x) // hop):
        first = t * hop + hop - n if module.left == n - hop else t * hop - (n - hop) // 2
        for f in range(module.bins):
            for k in range(n):
                if 0 <= first + k < len(x):
                    turn = np.exp(-2j * math.pi * f * (k - n // 2) / n)
                    found[t, f] += x[first + k] * window[k] / scale * turn
    return found


@settings(max_examples=15, deadline=None)
@given(shapes)
def test_it_is_the_sum_it_stands_for(shape):
    module = STFT(**shape)
    x = torch.randn(1, 1, 4 * module.hop_length, dtype=torch.float64)
    real, imaginary = module(x)
    assert real.shape == imaginary.shape == (1, 4, module.bins)
    wanted = plain(x[0, 0].numpy(), module)
    np.testing.assert_allclose(torch.complex(real, imaginary)[0].numpy(), wanted, atol=1e-10)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(2, 6))
def test_the_inverse_gives_the_signal_back(hop, overlap):
    module, back = STFT(hop, overlap), InverseSTFT(hop, overlap)
    x = torch.randn(2, 1, 12 * hop, dtype=torch.float64)
    scale = hann(module.n_fft, x).square().sum().sqrt()
    torch.testing.assert_close(back(*(p * scale for p in module(x))), x, atol=1e-10, rtol=0)


@pytest.mark.parametrize("n_fft", [16, 320])
def test_inside_it_is_that_of_torch_and_scipy(n_fft):
    hop, module = n_fft // 4, STFT(n_fft // 4, 4, causal=True)
    x = torch.randn(1, 1, 20 * hop, dtype=torch.float64)
    window = hann(n_fft, x)
    ours = torch.complex(*module(x))[0, 3:].T * window.square().sum().sqrt()
    bins = torch.arange(module.bins, dtype=torch.float64)
    ours = ours * torch.exp(-2j * math.pi * (n_fft // 2) / n_fft * bins).unsqueeze(1)
    theirs = torch.stft(
        x[0, 0], n_fft, hop, window=window, center=False, return_complex=True
    )  # fmt: skip
    torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=0)
    *_, scipys = stft(
        x[0, 0].numpy(), window=window.numpy(), nperseg=n_fft, noverlap=n_fft - hop, boundary=None,
        padded=False,
    )  # fmt: skip
    np.testing.assert_allclose(ours.numpy(), scipys * window.sum().item(), atol=1e-10)


@settings(max_examples=30, deadline=None)
@given(shapes, st.integers(0, 20), st.integers(1, 9))
def test_the_span_is_what_gradients_find(shape, start, size):
    module = STFT(**shape)
    out = Span(12 + start, 12 + start + size)
    x = torch.randn(1, 1, 60 * module.hop_length, dtype=torch.float64, requires_grad=True)
    real, imaginary = module(x)
    sum(p[:, out.start : out.end].square().sum() for p in (real, imaginary)).backward()
    seen = x.grad[0, 0].nonzero().flatten()
    span = module.input_span(out)
    assert (seen[0], seen[-1] + 1) == (span.start, span.end)
    if shape["causal"]:
        assert span.end == out.end * module.hop_length


def test_noise_of_a_level_has_bins_of_that_level():
    x = 0.05 * torch.randn(1, 1, 200_000, dtype=torch.float64)
    real, imaginary = STFT(80, 4)(x)
    power = (real.square() + imaginary.square())[..., 1:-1].mean()
    assert power.sqrt().item() == pytest.approx(0.05, rel=0.02)


@pytest.mark.parametrize(("hop", "overlap"), [(8, 4), (3, 3)])
def test_traced_it_is_a_product_and_the_same(hop, overlap):
    module = STFT(hop, overlap)
    x = torch.randn(1, 1, 5 * hop, dtype=torch.float64)
    traced = torch.export.export(module, (x,), strict=False)
    assert "fft" not in str(traced.graph)
    torch.testing.assert_close(traced.module()(x), module(x), atol=1e-10, rtol=1e-10)


def test_the_product_is_exact_for_large_windows():
    """In float32 products of bin and sample are beyond whole numbers from 4,096 on."""
    n = 10_240
    found = _dft(n, torch.zeros((), dtype=torch.float32))[:, [0, 1, n // 2, n // 2 + 2]]
    wanted = _dft(n, torch.zeros((), dtype=torch.float64))[:, [0, 1, n // 2, n // 2 + 2]]
    torch.testing.assert_close(found.double(), wanted, atol=1e-5, rtol=0)


@given(st.integers(1, 2000), st.integers(1, 2000))
def test_the_nearest_divisor_is_one_and_none_is_nearer(n, about):
    found = nearest_divisor(n, about)
    ratio = lambda d: max(d / about, about / d)  # noqa: E731
    assert n % found == 0
    assert all(ratio(found) <= ratio(d) + 1e-12 for d in range(1, n + 1) if n % d == 0)


def test_the_divisor_of_a_huge_number_is_found_at_once():
    """Strides come from files of others: twelve of 1,024 must fail for their size, not hang."""
    assert nearest_divisor(1024**12, 80) == 64
    assert nearest_divisor(1021**12, 65536) == 1021**2
