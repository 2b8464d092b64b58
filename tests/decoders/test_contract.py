"""One contract for every decoder in the folder: a new file is tested by being there."""

import pytest
import torch

from audiovq import registry
from audiovq.bottlenecks._base import Context
from audiovq.config import parse
from tests.helpers import every_weight_matters

STRIDES = (2, 5)
NAMES = registry.names("decoders")
# Settings besides the defaults that the contract must hold for, too.
VARIANTS = {
    "conv": [{"causal": True, "channels": 3}, {"kernel_size": 1, "activation": "elu"}],
    "istft": [
        {"channels": 6, "fast_channels": 5, "stft_hop": 2},
        {"channels": 6, "fast_channels": 5, "stft_hop": 5, "causal": True, "activation": "gelu"},
        {"channels": 6, "fast_channels": 5, "stft_hop": 5, "overlap": 3, "kernel_size": 4},
        {"channels": 6, "blocks": 0, "fast_blocks": 0, "overlap": 2, "kernel_size": 1},
    ],
    "istft_speaker": [
        {"speakers": ["ann", "bob"], "istft": {"channels": 6, "fast_channels": 5, "stft_hop": 2}},
        {"speakers": ["ann"], "istft": {"channels": 6, "fast_channels": 5, "causal": True}},
        {"speakers": ["ann"], "istft": {"channels": 6, "blocks": 0, "fast_blocks": 0}},
    ],
    "conv_speaker": [
        {"speakers": ["ann", "bob"]},
        {"speakers": ["ann", "bob"], "conv": {"causal": True, "channels": 3}},
        {"speakers": ["ann", "bob"], "conv": {"kernel_size": 1}, "unknown": 0.5},
    ],
}
CASES = [(name, values) for name in NAMES for values in [{}, *VARIANTS.get(name, [])]]


def make(name, **values):
    """A decoder of 10 samples per frame in double precision, in which every weight matters."""
    found = registry.get("decoders", name)
    torch.manual_seed(0)
    module = found.cls(parse(found.config, {"name": name, **values}), 4, STRIDES).double().eval()
    return every_weight_matters(module)


@pytest.fixture(params=CASES, ids=str)
def decoder(request):
    name, values = request.param
    return make(name, **values)


def frames(items, length):
    return torch.randn(items, 4, length, dtype=torch.float64)


def someone(decoder, items):
    """A different speaker for each item, where the decoder takes speakers."""
    return torch.arange(items) % (1 + len(decoder.speakers)) if decoder.speakers else None


def test_length_is_exact_down_to_one_frame(decoder):
    assert decoder.hop_length == 10  # the encoder's strides, where the settings have none
    for items, length in ((1, 1), (3, 7)):
        y = decoder(frames(items, length), Context(condition=someone(decoder, items)))
        assert y.shape == (items, 1, 10 * length)


def test_receptive_field_is_what_gradients_find(decoder):
    left, right = decoder.receptive_field
    length = 2 * (left + right) + 5
    t, hop = length // 2, decoder.hop_length
    z = frames(1, length).requires_grad_()
    decoder(z, Context(condition=someone(decoder, 1)))[
        0, 0, t * hop : (t + 1) * hop
    ].sum().backward()
    seen = z.grad[0].abs().sum(0).nonzero().flatten()
    assert (t - seen[0], seen[-1] - t) == (left, right)
    assert torch.isfinite(z.grad).all()


def test_an_item_is_the_same_alone_and_padded(decoder):
    z, lengths, condition = frames(3, 30), [30, 19, 1], someone(decoder, 3)
    mask = (torch.arange(30) < torch.tensor(lengths).unsqueeze(1)).unsqueeze(1)
    y = decoder(z, Context(mask=mask, condition=condition))
    for i, n in enumerate(lengths):
        one = None if condition is None else condition[i : i + 1]
        alone = decoder(z[i : i + 1, :, :n], Context(condition=one))
        torch.testing.assert_close(y[i : i + 1, :, : 10 * n], alone)


def test_forward_changes_no_state_and_no_generator_and_repeats_itself(decoder):
    decoder.train()
    before = {k: v.clone() for k, v in decoder.state_dict().items()}
    generator = torch.get_rng_state()
    z = torch.ones(2, 4, 9, dtype=torch.float64)
    context = Context(keys=torch.arange(2), condition=someone(decoder, 2))
    assert torch.equal(decoder(z, context), decoder(z, context))
    assert all(torch.equal(v, before[k]) for k, v in decoder.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)


def test_two_half_batches_are_the_whole(decoder):
    decoder.train()
    z, keys, condition = frames(8, 9), torch.arange(8) + 5, someone(decoder, 8)
    whole = decoder(z, Context(keys=keys, condition=condition))
    halves = [
        decoder(z[s], Context(keys=keys[s], condition=None if condition is None else condition[s]))
        for s in (slice(0, 4), slice(4, 8))
    ]
    torch.testing.assert_close(whole, torch.cat(halves))


def test_anyone_is_row_0_and_no_condition(decoder):
    z = frames(2, 9)
    if decoder.speakers:
        anyone = Context(condition=torch.zeros(2, dtype=torch.int64))
        assert torch.equal(decoder(z), decoder(z, anyone))


def test_every_weight_learns(decoder):
    condition = someone(decoder, 3)
    decoder(frames(3, 9), Context(condition=condition)).square().sum().backward()
    missing = [n for n, p in decoder.named_parameters() if p.grad is None or not p.grad.any()]
    assert missing == []
