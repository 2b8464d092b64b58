import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from audiovq.nn.activations import _MAKERS, Snake, activation
from audiovq.nn.conv import Conv1d, ConvTranspose1d, Span, fold_weight_norm, weight_norm
from audiovq.nn.residual import ResidualUnit

layers = st.builds(
    dict,
    kernel=st.integers(1, 9),
    stride=st.integers(1, 5),
    dilation=st.integers(1, 4),
    causal=st.booleans(),
).filter(lambda c: (c["kernel"] - 1) * c["dilation"] + 1 >= c["stride"])


def _conv(c):
    return Conv1d(
        2, 3, c["kernel"], stride=c["stride"], dilation=c["dilation"], causal=c["causal"]
    ).double()


def _depends_on(layer, out: int, size: int) -> list[int]:
    """Inputs that change output `out`, found by perturbing each: the slow, obvious way."""
    x = torch.randn(1, 2, size, dtype=torch.float64)
    y = layer(x)
    found = []
    for i in range(size):
        changed = x.clone()
        changed[..., i] += 1.0
        if not torch.equal(layer(changed)[..., out], y[..., out]):
            found.append(i)
    return found


@settings(max_examples=30, deadline=None)
@given(layers)
def test_conv_is_length_exact_and_knows_its_span(c):
    layer, size, out = _conv(c), 70 * c["stride"], 35
    assert layer(torch.randn(1, 2, size).double()).shape[-1] == 70
    seen, span = _depends_on(layer, out, size), layer.input_span(Span(out, out + 1))
    assert (seen[0], seen[-1] + 1) == (span.start, span.end)
    if c["causal"]:
        assert span.end == (out + 1) * c["stride"]


@settings(max_examples=20, deadline=None)
@given(stride=st.integers(1, 6), causal=st.booleans())
def test_transposed_conv_is_length_exact_and_knows_its_span(stride, causal):
    layer = ConvTranspose1d(2, 3, stride, causal=causal).double()
    assert layer(torch.randn(1, 2, 9).double()).shape[-1] == 9 * stride
    for out in range(4 * stride, 5 * stride):
        seen, span = _depends_on(layer, out, 9), layer.input_span(Span(out, out + 1))
        assert (seen[0], seen[-1] + 1) == (span.start, span.end)
        assert not causal or span.end == 5


@settings(max_examples=20, deadline=None)
@given(layers, st.integers(1, 11))
def test_a_mask_makes_padding_count_as_zero(c, frames):
    layer = _conv(c)
    x = torch.randn(1, 2, 12 * c["stride"], dtype=torch.float64)
    real = frames * c["stride"]
    mask = (torch.arange(x.shape[-1]) < real).double().view(1, 1, -1)
    alone = layer(x[..., :real])
    torch.testing.assert_close(layer(x, mask)[..., :frames], alone)


def test_conv_equals_torch_with_explicit_padding():
    layer = Conv1d(2, 3, 4, stride=3, causal=True)
    x = torch.randn(1, 2, 12)
    torch.testing.assert_close(layer(x), F.conv1d(F.pad(x, (1, 0)), layer.weight, layer.bias, 3))


def test_weight_norm_folds_to_the_same_function_bit_for_bit():
    for layer in (Conv1d(2, 3, 3), ConvTranspose1d(2, 3, 4)):
        weight_norm(layer)
        x = torch.randn(1, 2, 8)
        before = layer(x)
        fold_weight_norm(layer)
        assert torch.equal(layer(x), before)
        assert sorted(layer.state_dict()) == ["bias", "weight"]


def test_every_activation_keeps_zero_at_zero():
    for name in _MAKERS:
        assert activation(name, 3)(torch.zeros(1, 3, 4)).abs().max() == 0


def test_snake_is_its_formula():
    snake, x = Snake(2), torch.randn(1, 2, 5)
    with torch.no_grad():
        snake.log_alpha.copy_(torch.tensor([[0.3], [-1.0]]))
    a = snake.log_alpha.exp()
    torch.testing.assert_close(snake(x), x + torch.sin(a * x) ** 2 / a)


def test_residual_unit_spans_its_dilated_kernel():
    unit = ResidualUnit(2, kernel_size=3, dilation=4, activation_name="elu", causal=False)
    unit.double()
    assert unit.input_span(Span(20, 21)) == Span(16, 25)
    assert _depends_on(unit, 20, 40) == [16, 20, 24]
