"""Transforms as convolutions beside those they stand for."""

import pytest
import torch

from audiovq.export.spectra import ProductInverseSTFT, ProductSTFT
from audiovq.nn.istft import InverseSTFT
from audiovq.nn.stft import STFT

SIZES = [(8, 4), (3, 3), (80, 4)]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("hop", "overlap"), SIZES)
def test_the_convolution_is_the_transform(hop, overlap, causal):
    plain = STFT(hop, overlap, causal=causal)
    x = torch.randn(2, 1, 5 * hop)
    for found, wanted in zip(ProductSTFT(plain)(x), plain(x), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("hop", "overlap"), SIZES)
def test_the_transposed_convolution_is_the_inverse(hop, overlap, causal):
    plain = InverseSTFT(hop, overlap, causal=causal)
    real, imaginary = torch.randn(2, 2, 6, plain.bins)
    found = ProductInverseSTFT(plain)(real, imaginary)
    torch.testing.assert_close(found, plain(real, imaginary), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("convolved", [False, True])
@pytest.mark.parametrize(("hop", "overlap"), SIZES)
def test_steps_give_what_all_at_once_gives(hop, overlap, convolved):
    there, back = STFT(hop, overlap, causal=True), InverseSTFT(hop, overlap, causal=True)
    if convolved:
        there, back = ProductSTFT(there), ProductInverseSTFT(back)
    x = torch.randn(2, 1, 6 * hop)
    spectra = there(x)
    heard, said = there.initial_state(2, x), back.initial_state(2, x)
    parts, samples = [], []
    for part in torch.split(x.transpose(1, 2), [hop, 3 * hop, 2 * hop], dim=1):  # in rows
        real, imaginary, heard = there.step(part, heard)
        y, said = back.step(real, imaginary, said)
        parts.append(torch.cat([real, imaginary], dim=-1))
        samples.append(y.transpose(1, 2))
    torch.testing.assert_close(torch.cat(parts, dim=1), torch.cat(spectra, dim=-1))
    torch.testing.assert_close(torch.cat(samples, dim=-1), back(*spectra), atol=1e-5, rtol=1e-5)
