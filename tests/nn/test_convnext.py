import pytest
import torch
from torch.nn import functional as F

from audiovq.nn.conv import Span
from audiovq.nn.convnext import ConvNeXtBlock, dense


def make(**values):
    torch.manual_seed(0)
    settings = {"kernel_size": 5, "expansion": 3, "activation_name": "gelu", "causal": False}
    return ConvNeXtBlock(6, **{**settings, "scale": 0.5, **values})


def test_it_is_the_papers_formula():
    block, x = make(), torch.randn(2, 6, 11)
    y = F.conv1d(x, block.depthwise.weight, block.depthwise.bias, padding=2, groups=6)
    y = F.layer_norm(y.transpose(1, 2), (6,), block.norm.weight, block.norm.bias)
    y = F.linear(F.gelu(F.linear(y, block.widen.weight, block.widen.bias)), block.narrow.weight)
    torch.testing.assert_close(block(x), x + 0.5 * y.transpose(1, 2))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", ["gelu", "silu", "leaky_relu"])
def test_without_gradients_it_says_the_same_and_leaves_its_input_alone(name, causal):
    block, x = make(activation_name=name, causal=causal), torch.randn(2, 6, 12)
    mask = (torch.arange(12) < torch.tensor([[12], [7]])).unsqueeze(1).float()
    kept = x.clone()
    with torch.no_grad():
        lean = block(x, mask)
    assert torch.equal(x, kept)
    torch.testing.assert_close(lean, block(x, mask))
    torch.testing.assert_close(lean[1:, :, :7], block(x[1:, :, :7]))


def test_a_causal_one_looks_back_alone():
    assert make(causal=True).input_span(Span(10, 11)) == Span(6, 11)
    assert make().input_span(Span(10, 11)) == Span(8, 13)


def test_dense_layers_start_at_the_stated_gain():
    y = dense(256, 512, 0.7)(torch.randn(200, 256))
    assert y.std().item() == pytest.approx(0.7, rel=0.05)
