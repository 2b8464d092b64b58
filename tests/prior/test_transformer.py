import math

import pytest
import torch

from audiovq.config import parse
from audiovq.errors import ConfigError
from audiovq.prior._attention import Attention, Cache, rotations, turn
from audiovq.prior._base import Condition
from audiovq.prior.transformer import Config, Transformer

SMALL = {"channels": 8, "layers": 2, "heads": 2, "window": 3}


def small(sizes=(5,), **given):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Transformer(parse(Config, {**SMALL, **given}), sizes)


def draw(sizes, items, frames):
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randint(n, (items, frames), generator=generator) for n in sizes]
    return torch.stack(rows, dim=1)


def attention(window, *, channels=8, heads=2):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Attention(channels, heads, window).double()


def slow_attention(layer, x):
    """Column by column, head by head, with complex numbers for the turned pairs."""
    S, C = x.shape
    size = C // layer.heads
    speed = 10_000.0 ** (-torch.arange(0, size, 2).double() / size)
    q, k, v = (layer.qkv.weight @ x.T).T.split(C, dim=1)
    out = torch.zeros(S, C, dtype=torch.float64)

    def turned(y, s, h):
        pair = y[s, h * size : (h + 1) * size].view(2, -1)
        return torch.complex(pair[0], pair[1]) * torch.exp(1j * s * speed)

    for s in range(S):
        seen = range(max(0, s - layer.window + 1), s + 1)
        for h in range(layer.heads):
            scores = [(turned(q, s, h) * turned(k, j, h).conj()).real.sum() for j in seen]
            weights = (torch.stack(scores) / math.sqrt(size)).softmax(0)
            part = slice(h * size, (h + 1) * size)
            out[s, part] = sum(w * v[j, part] for w, j in zip(weights, seen, strict=True))
    return layer.out(out)


@torch.no_grad()
@pytest.mark.parametrize("window", [1, 2, 3, 5, 11, 12, 40])
def test_attention_whole_and_cached_is_the_slow_one(window):
    layer, x = attention(window), torch.randn(2, 11, 8, dtype=torch.float64)
    expected = torch.stack([slow_attention(layer, item) for item in x])
    angles = rotations(11, 4)
    torch.testing.assert_close(layer(x, angles), expected)
    cache = Cache(layer, 2, 11)
    for s in range(11):
        torch.testing.assert_close(cache.attend(x[:, s], angles[:, s], s), expected[:, s])
    assert cache._keys.shape == (2, 2, min(window, 11), 4)  # bounded by the window


def test_rotations_depend_on_the_distance_alone_however_far():
    q, k = torch.randn(2, 16)
    angles = rotations(1_000_003, 16).float()
    near = (turn(q, angles[:, 2]) * turn(k, angles[:, 0])).sum()
    far = (turn(q, angles[:, 1_000_002]) * turn(k, angles[:, 1_000_000])).sum()
    torch.testing.assert_close(near, far, atol=1e-4, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize(("layers", "window"), [(2, 3), (1, 5), (3, 2), (2, 1)])
@pytest.mark.parametrize("sizes", [(5,), (4, 3)])
def test_its_receptive_field_is_exactly_its_context(sizes, layers, window):
    prior, frames = small(sizes, layers=layers, window=window).double().eval(), 20
    reach = layers * (window - 1)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.4, generator=torch.Generator().manual_seed(2))
    K = len(sizes)
    assert prior.context == reach + K
    codes = draw(sizes, 1, frames)
    before = prior(codes)
    far = torch.full((K, K), -1)  # from row i, how many frames on row j is still changed
    for i in range(K):
        other = codes.clone()
        other[0, i, 4] = (other[0, i, 4] + 1) % sizes[i]
        changed = ((prior(other) != before) & before.isfinite())[0].any(dim=1)
        for j in range(K):
            assert not changed[j, : 4 + i - j + 1].any()  # its own column and earlier ones
            far[i, j] = int(changed[j].nonzero().max()) - 4
            assert changed[j, 4 + i - j + 1 : 4 + int(far[i, j]) + 1].all()
    for i in range(K):
        for j in range(K):
            assert far[i, j] == reach + 1 + i - j
    assert int(far.max()) == prior.context


@torch.no_grad()
def test_sequences_longer_than_the_window_step_as_they_run():
    prior, codes = small().eval(), draw((5,), 2, 50)
    whole, steps = prior(codes), prior.steps(2, 50)
    for t in range(50):
        torch.testing.assert_close(steps.logits()[:, 0], whole[:, 0, :, t], atol=1e-5, rtol=1e-5)
        steps.push(codes[:, :, t])


@torch.no_grad()
def test_dropout_is_of_items_and_off_in_evaluation():
    prior, codes = small(dropout=0.5), draw((5,), 3, 12)
    keys = torch.tensor([7, 8, 9])
    drawn = prior.train()(codes, None, Condition(keys=keys))
    alone = prior(codes[1:2, :, :8], None, Condition(keys=keys[1:2]))
    torch.testing.assert_close(drawn[1:2, ..., :8], alone)
    assert not torch.equal(drawn, prior(codes, None, Condition(keys=keys + 3)))
    steps = prior.steps(3, 12)
    torch.testing.assert_close(steps.logits()[:, 0], prior.eval()(codes)[:, 0, :, 0])


def test_channels_that_do_not_split_are_refused():
    with pytest.raises(ConfigError, match=r"channels=6 .* 2 heads .* give a multiple of 4"):
        parse(Config, {**SMALL, "channels": 6})
