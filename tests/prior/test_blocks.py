"""`log_prob` in blocks is that of the whole, whatever the blocks; its memory is a block's."""

import contextlib
import itertools
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.errors import ConfigError
from audiovq.prior import _blocks, lstm, wavenet
from audiovq.prior._base import Condition
from tests.prior.test_contract import NAMES, SIZES, draw_codes, draw_condition, make

T = 40


def whole(prior, codes, lengths, condition):
    """As the contract says it: one forward, and the logarithm of the softmax at each code."""
    logits = prior(codes, lengths, condition).double().log_softmax(dim=2)
    found = torch.zeros(codes.shape).double()
    for b, k, t in itertools.product(*map(range, codes.shape)):
        if lengths is None or t < lengths[b]:
            found[b, k, t] = logits[b, k, codes[b, k, t], t]
    return found


@contextlib.contextmanager
def small(size, columns=None):
    """Blocks of few frames and groups of few items, in every prior."""
    with (
        mock.patch.object(_blocks, "LOGITS", 6 * size),
        mock.patch.multiple(lstm, LOGITS=6 * size, _ITEMS=2),
        mock.patch.object(wavenet, "rows_at_once", return_value=columns or size),
    ):
        yield


@torch.no_grad()
def compare(prior, size, lengths, condition, codes):
    expected = whole(prior, codes, lengths, condition)
    with small(size):
        found = prior.log_prob(codes, lengths, condition)
    torch.testing.assert_close(found.double(), expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 7, 39, 100])
@pytest.mark.parametrize(("name", "sizes"), list(itertools.product(NAMES, SIZES)), ids=str)
def test_blocks_are_the_whole(name, sizes, size):
    prior = make(name, sizes, dilations=[1, 4, 2], window=3)
    condition, codes = draw_condition(prior, 4, T), draw_codes(sizes, 4, T)
    compare(prior, size, None, condition, codes)
    compare(prior, size, torch.tensor([T - 1, 3, 17, 1]), condition, codes)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(NAMES), st.lists(st.integers(2, 5), min_size=1, max_size=4),
    st.integers(1, 30), st.integers(1, 40), st.data(),
)  # fmt: skip
def test_blocks_are_the_whole_of_any_shape(name, sizes, frames, size, data):
    prior = make(name, tuple(sizes), local=False, dilations=[2, 1], window=2)
    lengths = torch.tensor(data.draw(st.lists(st.integers(1, frames), min_size=1, max_size=5)))
    codes = draw_codes(sizes, len(lengths), frames)
    codes[torch.arange(frames).expand_as(codes) >= lengths.view(-1, 1, 1)] = 1000
    condition = draw_condition(prior, len(lengths), frames)
    with torch.no_grad():
        compare(prior, size, lengths, condition, codes)


@pytest.mark.parametrize("name", NAMES)
def test_with_gradients_too_and_they_are_those_of_the_whole(name):
    prior = make(name, (4, 6), dilations=[1, 2], window=3)
    condition, codes = draw_condition(prior, 2, 20), draw_codes((4, 6), 2, 20)
    parameters = list(prior.parameters())
    if not parameters:
        pytest.skip("nothing is learnt by gradient")
    expected = _blocks.chosen(prior(codes, None, condition), codes, None)
    with small(3):
        found = prior.log_prob(codes, None, condition)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    wanted = torch.autograd.grad(expected.sum(), parameters)
    for a, b in zip(torch.autograd.grad(found.sum(), parameters), wanted, strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_a_condition_of_another_length_is_refused_by_blocks_too(name):
    prior = make(name, (4,))
    codes, condition = draw_codes((4,), 1, T), draw_condition(prior, 1, T + 5)
    if condition.features is None:
        pytest.skip("it hears no conditions")
    with small(2), pytest.raises(ConfigError, match="45 frames for 40 frames"):
        prior.log_prob(codes, None, condition)


def test_part_of_a_condition_has_the_rate_of_the_codes():
    slow = torch.arange(8).view(2, 1, 4)
    given_ = Condition(label=torch.tensor([1, 2]), codes=slow, features=torch.rand(2, 3, 11))
    found = given_.part(slice(1, 2), 11, 4, 11)  # three frames a code, the last one short
    assert found.codes.tolist() == [[[5, 5, 6, 6, 6, 7, 7]]]
    assert torch.equal(found.features, given_.features[1:, :, 4:])
    assert found.label.tolist() == [2]
    assert found.keys is None


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_an_hour_is_scored_in_the_memory_of_a_block(name):
    """No tensor is made that is nearly as large as the logits of all, or any layer's values."""
    frames, N = 6000, 32
    prior = make(name, (N, N), labels=0, local=False, dilations=[1, 4], window=4)
    codes, largest = draw_codes((N, N), 1, frames), Largest()
    with small(1500, columns=200), largest:
        prior.log_prob(codes)
    # of two rows: codes, and where each is in a table; n-grams hold a history of three beside
    assert largest.size <= 3 * frames
    with largest:
        prior(codes)
    assert largest.size == 2 * frames * N  # it does count


class Largest(torch.utils._python_dispatch.TorchDispatchMode):
    """Watches how many elements the largest tensor has that any operation gives."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for y in torch.utils._pytree.tree_leaves(found):
            if isinstance(y, torch.Tensor):
                self.size = max(self.size, y.numel())
        return found
