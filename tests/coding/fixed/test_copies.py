"""One contract for every copy in the folder: a new file is tested by being there."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from audiovq import registry
from audiovq.coding import fixed
from audiovq.coding.fixed import _grid, copy_of
from audiovq.errors import CheckpointError, ConfigError
from tests.prior.test_contract import draw_codes, make

NAMES = fixed.names()
SIZES = [(5,), (4, 6, 5)]
CASES = list(itertools.product(NAMES, SIZES))
T = 20


def tables(copy, codes):
    """The frequencies of every code by whole sequences: for each row (B, T, N)."""
    found = []
    for k, hidden in enumerate(copy.hidden(codes)):
        rows = [copy.frequencies(k, item) for item in hidden]
        together = copy.frequencies(k, hidden.reshape(-1, hidden.shape[2]))
        assert np.array_equal(together, np.concatenate(rows))
        found.append(np.stack(rows))
    return found


def step_by_step(copy, codes):
    """The same with cached state."""
    B, _, frames = codes.shape
    found = [np.zeros((B, frames, n), dtype=np.int64) for n in copy.codebook_sizes]
    steps = copy.steps(B, frames)
    for group in copy.groups(frames):
        for (k, t), hidden in zip(group, steps.hidden(), strict=True):
            found[k][:, t] = copy.frequencies(k, hidden)
        rows, times = zip(*group, strict=True)
        steps.push(codes[:, rows, times])
    return found


def equal(found, expected):
    return all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def made(name, sizes, **values):
    return make(name, sizes, local=False, **{"channels": 32, **values})


def codes_of(sizes, items, frames=T):
    return draw_codes(sizes, items, frames).numpy()


def test_every_shipped_prior_has_a_copy():
    assert registry.names("priors") == NAMES


@pytest.mark.parametrize(("name", "sizes"), CASES, ids=str)
def test_tables_are_the_same_alone_in_batches_and_step_by_step(name, sizes):
    copy, codes = copy_of(made(name, sizes)), codes_of(sizes, 64, 12)
    whole = tables(copy, codes)
    assert equal(step_by_step(copy, codes), whole)
    for items in (1, 7):
        assert equal(tables(copy, codes[:items]), [x[:items] for x in whole])
    assert equal(step_by_step(copy, codes[:1]), [x[:1] for x in whole])
    for x, size in zip(whole, sizes, strict=True):
        assert x.dtype == np.int64
        assert x.shape == (64, 12, size)
        assert x.min() >= 1


@pytest.mark.parametrize(("name", "sizes"), CASES, ids=str)
def test_a_shorter_item_in_a_batch_is_as_alone(name, sizes):
    copy, codes = copy_of(made(name, sizes)), codes_of(sizes, 3)
    codes[1, :, 12:] = -1
    alone = tables(copy, codes[[1], :, :12])
    assert equal([x[[1], :12] for x in tables(copy, codes)], alone)
    assert equal([x[[1], :12] for x in step_by_step(copy, codes)], alone)


@pytest.mark.parametrize(("name", "sizes"), CASES, ids=str)
def test_probabilities_are_nearly_those_of_the_prior(name, sizes):
    prior = made(name, sizes, channels=8)
    codes = draw_codes(sizes, 3, T)
    logits = prior(codes).detach().double()
    for k, found in enumerate(tables(copy_of(prior), codes.numpy())):
        expected = logits[:, k, : sizes[k]].transpose(1, 2).log_softmax(2).numpy()
        probable = expected > -8
        difference = np.log(found / found.sum(2, keepdims=True)) - expected
        assert np.abs(difference[probable]).max() < 0.02


class Watched(np.ndarray):
    """Weights that look at everything they are multiplied with."""

    products = 0

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        a, b = (np.asarray(x) for x in inputs)
        if ufunc is np.matmul:
            Watched.products += 1
            assert (a == np.rint(a)).all()
            assert (np.abs(a) <= _grid.LIMIT).all()
            assert (np.abs(a) @ np.abs(b)).max() < 2.0**53
        return getattr(ufunc, method)(a, b, **options)


@pytest.mark.parametrize("size", [0.3, 30.0])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "ngram"])
def test_every_layer_is_given_whole_numbers_within_the_limit(name, size, monkeypatch):
    """Rounding left out anywhere would show only where another order of a sum is unlucky."""
    begin = _grid.Linear.__init__

    def watched(layer, *parts):
        begin(layer, *parts)
        assert (layer.weight == np.rint(layer.weight)).all()
        layer.weight = layer.weight.view(Watched)

    monkeypatch.setattr(_grid.Linear, "__init__", watched)
    prior = made(name, (4, 6, 5))
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.mul_(size)
    copy, codes, before = copy_of(prior), codes_of((4, 6, 5), 2), Watched.products
    whole = tables(copy, codes)
    assert equal(step_by_step(copy, codes), whole)
    assert Watched.products > before + T


def test_the_order_of_channels_changes_nothing():
    """The same prior with its skip channels in another order sums in another order."""
    prior = made("wavenet", (5,), skip_channels=300)
    codes, order = codes_of((5,), 2), torch.randperm(300)
    before = tables(copy_of(prior), codes)
    C = prior.config.channels
    with torch.no_grad():
        for layer in prior.outs:
            layer.weight[C:] = layer.weight[C:][order]
        prior.skip_bias.copy_(prior.skip_bias[order])
        prior.last.weight.copy_(prior.last.weight[:, order])
    assert equal(tables(copy_of(prior), codes), before)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "ngram"])
def test_labels_are_left_out_and_other_conditions_refused(name):
    codes = codes_of((5,), 1)
    prior = made(name, (5,), labels=3, channels=8)
    with torch.no_grad():
        expected = prior(torch.from_numpy(codes))[0, 0].log_softmax(0).T.numpy()
    found = tables(copy_of(prior), codes)[0][0]
    assert np.abs(np.log(found / found.sum(1, keepdims=True)) - expected).max() < 0.02
    with pytest.raises(ConfigError, match="codes alone"):
        copy_of(make(name, (5,), local=True))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "ngram"])
def test_weights_beyond_the_grids_are_refused(name):
    for value, message in ((1e8, "too large to compress"), (float("nan"), "not finite")):
        prior = made(name, (5,), labels=0)
        linears = [m for m in prior.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.LSTM)]
        for weight in [next(m.parameters()) for m in linears]:
            before = weight.detach().clone()
            nn.init.constant_(weight, value)
            if weight.numel():
                with pytest.raises(CheckpointError, match=message):
                    copy_of(prior)
            with torch.no_grad():
                weight.copy_(before)


def test_a_window_too_wide_to_be_exact_is_refused():
    with pytest.raises(ConfigError, match="too wide to compress with: up to 8192"):
        copy_of(made("transformer", (5,), window=8193))


def test_a_prior_from_outside_has_no_copy():
    from tests.prior.counted import Config, Counted

    with pytest.raises(ConfigError, match="Counted has no copy .* these can: lstm, ngram"):
        copy_of(Counted(Config(name="tests.prior.counted"), (5,), 0))
