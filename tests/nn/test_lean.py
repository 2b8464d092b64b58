"""The layers as a CPU runs them fastest against the plain ones."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.nn import lean
from audiovq.nn.activations import _MAKERS, activation
from audiovq.nn.conv import Conv1d, ConvTranspose1d, layer_mask, weight_norm
from audiovq.nn.residual import ResidualUnit
from tests.helpers import noise, small_model, voices_model

layers = st.fixed_dictionaries(
    {
        "in_channels": st.sampled_from([1, 2, 5, 300]),
        "out_channels": st.sampled_from([1, 3, 8]),
        "kernel_size": st.integers(1, 7),
        "stride": st.integers(1, 4),
        "dilation": st.integers(1, 3),
        "causal": st.booleans(),
    }
).filter(lambda c: (c["kernel_size"] - 1) * c["dilation"] + 1 >= c["stride"])


def plain(module, *args):
    """What the module gives where gradients are wanted."""
    with torch.enable_grad():
        y = module(*args)
    assert y.requires_grad
    return y.detach()


def masks(batch, frames):
    return (torch.rand(batch, 1, frames) > 0.3).float()


@settings(max_examples=60, deadline=None)
@given(layers, st.integers(1, 3), st.integers(1, 12), st.booleans())
def test_convolutions_agree(c, batch, frames, masked):
    layer, rate = Conv1d(**c), 2 * c["stride"]
    torch.nn.init.normal_(layer.bias)
    x, mask = torch.randn(batch, c["in_channels"], frames * rate), masks(batch, frames)
    given, fast = (mask.repeat_interleave(rate, -1), mask) if masked else (None, None)
    before = x.clone()
    with torch.no_grad():
        y = layer(x, fast)
        assert torch.equal(x, before)
        again = layer(x.clone(), fast, spare=True)
    torch.testing.assert_close(y, plain(layer, x, given), atol=1e-4, rtol=1e-4)
    assert torch.equal(y, again)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 9), st.booleans())
def test_transposed_convolutions_agree(stride, batch, frames, causal):
    layer = ConvTranspose1d(4, 3, stride, causal=causal)
    torch.nn.init.normal_(layer.bias)
    x, mask = torch.randn(batch, 4, 2 * frames), masks(batch, frames)
    with torch.no_grad():
        y = layer(x, mask)
    torch.testing.assert_close(y, plain(layer, x, mask.repeat_interleave(2, -1)))


@pytest.mark.parametrize("name", _MAKERS)
@pytest.mark.parametrize("causal", [False, True])
def test_residual_units_agree_and_leave_their_input_alone(name, causal):
    unit = ResidualUnit(6, kernel_size=3, dilation=3, activation_name=name, causal=causal)
    x, mask = torch.randn(2, 6, 40), masks(2, 40)
    before = x.clone()
    with torch.no_grad():
        y = unit(x, mask)
    assert torch.equal(x, before)
    torch.testing.assert_close(y, plain(unit, x, mask), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("model", [small_model(), small_model(causal=True), voices_model()])
def test_whole_models_agree(model):
    x, mask = noise(2, 400), masks(2, 40)
    before = x.clone()
    with torch.no_grad():
        z = model.encoder(x, mask)
        x_hat = model.decoder(z)
    assert torch.equal(x, before)
    torch.testing.assert_close(z, plain(model.encoder, x, mask), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(x_hat, plain(model.decoder, z.clone()), atol=1e-5, rtol=1e-5)


def test_where_it_applies():
    x = torch.zeros(1, 2, 3)
    assert not lean.applies(x)  # gradients are on
    with torch.no_grad():
        assert lean.applies(x)
        assert not lean.applies(x.double())
        assert not lean.applies(x.to("meta"))
        with torch.autocast("cpu", torch.bfloat16):
            assert not lean.applies(x)
        assert layer_mask(x[:, :1], 2) is not None
        assert layer_mask(None, 2) is None
    assert layer_mask(x[:, :1], 2).shape == (1, 1, 6)


def test_activations_overwrite_only_without_gradient():
    for name in _MAKERS:
        act, x = activation(name, 2), torch.randn(1, 2, 5)
        want, kept = act(x).detach(), x.clone()
        lean.activate(act, x)
        assert torch.equal(x, kept)
        with torch.no_grad():
            assert torch.equal(lean.activate(act, x), want)


def test_weights_are_kept_within_and_not_beyond():
    layer, x = Conv1d(2, 3, 3), torch.randn(1, 2, 8)
    weight_norm(layer)
    with torch.no_grad():
        first = layer(x)
        with lean.weights_kept(), lean.weights_kept():
            inside = layer(x)
            layer.parametrizations.weight.original0.mul_(2.0)
            assert torch.equal(layer(x), inside)  # it was promised that they do not change
        assert torch.equal(inside, first)
        assert not torch.equal(layer(x), first)
    assert lean._kept.weights is None


@pytest.mark.parametrize("width", [32, 48, 64])
def test_one_width_gives_the_same_bits_at_every_place(width):
    """What packing builds on; `audiovq.agreement` tries it out for every model."""
    encoder = small_model().encoder
    item = noise(1, 90)
    found = []
    for place in range(8, width - 11, 8):
        x, mask = noise(1, width * 10, seed=place), torch.ones(1, 1, width)
        x[..., (place - 1) * 10 : (place + 10) * 10] = 0
        mask[..., place - 1] = mask[..., place + 9] = 0
        x[..., place * 10 : place * 10 + 90] = item
        with torch.no_grad():
            found.append(encoder(x, mask)[..., place : place + 9])
    assert encoder.gap == 1
    assert all(torch.equal(z, found[0]) for z in found)
