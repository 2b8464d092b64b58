import math

import pytest
import torch

import audiovq
from audiovq import inference
from audiovq.autoencoder import Autoencoder, AutoencoderConfig
from audiovq.bottlenecks._base import Context
from audiovq.config import parse
from audiovq.decoders.istft import _LEVEL, Config, ISTFTDecoder, _Head
from audiovq.nn.istft import InverseSTFT
from tests.helpers import SMALL

TINY = {"channels": 8, "fast_channels": 6, "stft_hop": 5}


def make(strides=(2, 5), **values):
    torch.manual_seed(0)
    return ISTFTDecoder(parse(Config, {**TINY, **values}), 4, strides)


@pytest.mark.parametrize(
    ("strides", "about", "hop"),
    [((2, 4, 5, 8), 80, 80), ((8, 8), 80, 64), ((2, 5), 80, 10), ((13, 17), 80, 221), ((9,), 2, 3)],
)
def test_a_spectrum_stands_for_a_share_of_a_frame(strides, about, hop):
    decoder = make(strides, stft_hop=about)
    assert decoder.inverse.hop_length == hop
    assert decoder.rate * hop == decoder.hop_length == math.prod(strides)


def test_a_causal_decoder_looks_at_no_later_frame():
    left, right = make(causal=True).receptive_field
    assert left > 0
    assert right == 0


@pytest.mark.parametrize("causal", [False, True])
def test_without_gradients_padded_and_in_chunks_it_says_the_same(monkeypatch, causal):
    values = {**SMALL, "bottleneck": {"name": "identity", "dim": 6}}
    values["decoder"] = {"name": "istft", **TINY, "causal": causal}
    torch.manual_seed(0)
    model = Autoencoder(parse(AutoencoderConfig, values)).eval()
    z = torch.randn(2, 6, 400)
    mask = (torch.arange(400) < torch.tensor([[400], [217]])).unsqueeze(1)
    with_gradients = model.decoder(z, Context(mask=mask)).detach()
    whole = model.decode_embedding(z, [4000, 2170])
    torch.testing.assert_close(whole[0], with_gradients[0], atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(
        whole[1, :, :2170], with_gradients[1, :, :2170], atol=1e-6, rtol=1e-4
    )
    monkeypatch.setattr(inference, "_WHOLE_FRAMES", 50)
    monkeypatch.setattr("audiovq.windows._SAMPLES", (300, 600))
    in_chunks = model.decode_embedding(z, [4000, 2170])
    torch.testing.assert_close(in_chunks, whole, atol=1e-6, rtol=1e-4)
    assert not whole[1, :, 2170:].any()


def test_a_saved_model_is_weights_alone_and_decodes_as_before(tmp_path):
    values = {**SMALL, "bottleneck": {"name": "identity", "dim": 6}}
    model = Autoencoder(parse(AutoencoderConfig, {**values, "decoder": {"name": "istft", **TINY}}))
    state, weights = model.decoder.state_dict(), dict(model.decoder.named_parameters())
    assert set(state) == set(weights)
    model.save(tmp_path / "model")
    z = torch.randn(1, 6, 9)
    loaded = audiovq.load(tmp_path / "model").decode_embedding(z)
    torch.testing.assert_close(loaded, model.decode_embedding(z))


def test_it_starts_quietly_and_a_rate_of_spectra_changes_that_little():
    for hop in (5, 10):
        y = make(stft_hop=hop, channels=64, fast_channels=64)(torch.randn(1, 4, 500))
        assert 0.5 * _LEVEL < y.square().mean().sqrt().item() < 4 * _LEVEL


def test_magnitudes_are_exponentials_that_saturate_smoothly():
    head = _Head(1, InverseSTFT(8, 4))
    m = torch.tensor([-200.0, -3.0, 0.0, math.log(16.0), 12.0, 60.0], requires_grad=True)
    found = head.rise(m)
    expected = 16.0 / (1.0 + 16.0 * torch.exp(-m.detach().double()))
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-30)
    torch.testing.assert_close(found[1], m[1].exp(), rtol=0.005, atol=0.0)
    assert found.max() <= 16.0
    found.sum().backward()
    assert torch.isfinite(m.grad).all()
    assert (m.grad[1:5] > 0).all()


def test_autocast_keeps_the_transform_in_float32():
    decoder = make(channels=32, fast_channels=32).train()
    z = torch.randn(2, 4, 20)
    plain = decoder(z)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = decoder(z)
    assert y.dtype == torch.float32
    assert torch.isfinite(y).all()
    assert (y - plain).norm() < 0.1 * plain.norm()
    y.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in decoder.parameters())
