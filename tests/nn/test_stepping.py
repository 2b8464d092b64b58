"""Layers a few positions at a time against the same layers on all at once."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from audiovq.nn import stepping
from audiovq.nn.activations import _MAKERS
from audiovq.nn.conv import Conv1d, ConvTranspose1d
from audiovq.nn.convnext import ConvNeXtBlock
from audiovq.nn.residual import ResidualUnit


def stepped(step, layer, x, block):
    """Give x block by block; x and what comes out are (B, C, L)."""
    past, parts = layer.initial_state(len(x), x), []
    for part in torch.split(x.transpose(1, 2), block, dim=1):
        before = part.clone(), past.clone()
        y, after = step(part, past)
        assert torch.equal(part, before[0])
        assert torch.equal(past, before[1])  # which whoever holds it may need again
        assert after.shape == past.shape
        parts, past = [*parts, y], after
    return torch.cat(parts, dim=1).transpose(1, 2)


def same(found, wanted):
    torch.testing.assert_close(found, wanted, atol=1e-10, rtol=1e-10)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([(1, 3, 1), (4, 1, 1), (5, 2, 1), (4, 4, 4)]),
    st.integers(1, 7),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from([1, 3]),
    st.integers(1, 3),
    st.booleans(),
)
def test_convolutions(channels, size, stride, dilation, batch, block, gradient):
    assume((size - 1) * dilation + 1 >= stride)
    c_in, c_out, groups = channels
    layer = Conv1d(
        c_in, c_out, size, stride=stride, dilation=dilation, groups=groups, causal=True
    ).double()
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(batch, c_in, 6 * stride, dtype=torch.float64)
    with torch.set_grad_enabled(gradient):
        same(stepped(stepping.convolution(layer), layer, x, block * stride), layer(x))


@pytest.mark.parametrize("batch", [1, 3])
def test_upsampling(batch):
    layer = ConvTranspose1d(4, 3, 5, causal=True).double()
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(batch, 4, 6, dtype=torch.float64)
    same(stepped(stepping.upsampling(layer), layer, x, 2), layer(x))


@pytest.mark.parametrize("name", _MAKERS)
@pytest.mark.parametrize("batch", [1, 3])
def test_blocks_of_every_activation(name, batch):
    unit = ResidualUnit(6, kernel_size=3, dilation=3, activation_name=name, causal=True)
    block = ConvNeXtBlock(
        6, kernel_size=3, expansion=2, activation_name=name, causal=True, scale=0.5
    )
    x = torch.randn(batch, 6, 8, dtype=torch.float64)
    for layer in (unit.double(), block.double()):
        for values in layer.parameters():
            torch.nn.init.normal_(values)
        same(stepped(layer.stepper(), layer, x, 3), layer(x))
