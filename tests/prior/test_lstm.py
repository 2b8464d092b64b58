import torch

from audiovq.config import parse
from audiovq.prior._base import Condition
from audiovq.prior.lstm import LSTM, Config


def small(sizes=(5,), *, seed=0, **given):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LSTM(parse(Config, {"channels": 8, "layers": 2, **given}), sizes)


def draw(sizes, items, frames):
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randint(n, (items, frames), generator=generator) for n in sizes]
    return torch.stack(rows, dim=1)


@torch.no_grad()
def test_layers_are_the_equations_of_the_lstm():
    prior, x = small().eval(), torch.randn(2, 7, 8)
    found, expected = prior.columns(x, torch.arange(2)), x
    for layer in prior.layers:
        h = c = torch.zeros(2, 8)
        out = []
        for t in range(7):
            gates = expected[:, t] @ layer.weight_ih_l0.T + layer.bias_ih_l0
            gates = gates + h @ layer.weight_hh_l0.T + layer.bias_hh_l0
            i, f, g, o = gates.chunk(4, dim=1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            out.append(h)
        expected = torch.stack(out, dim=1)
    torch.testing.assert_close(found, expected)


def test_it_remembers_at_the_start():
    for layer in small().layers:
        assert (layer.bias_ih_l0[8:16] == 1).all()
        assert not (layer.bias_ih_l0[:8] == 1).any()


@torch.no_grad()
def test_its_context_has_no_end():
    prior, codes = small(layers=1, channels=16).eval(), draw((5,), 1, 60)
    assert prior.context is None
    other = codes.clone()
    other[0, 0, 0] = (other[0, 0, 0] + 1) % 5
    assert not torch.equal(prior.double()(codes)[..., -1], prior(other)[..., -1])


@torch.no_grad()
def test_dropout_hides_the_same_units_in_every_frame():
    prior = small(dropout=0.5).train()
    ones, keys = torch.ones(64, 6, 8), torch.arange(64)
    hidden = prior._hide(ones, keys, "lstm.0")
    assert torch.equal(hidden, hidden[:, :1].expand_as(hidden))
    assert set(hidden.unique().tolist()) == {0.0, 2.0}
    assert 0.4 < float((hidden == 0).float().mean()) < 0.6
    assert not torch.equal(hidden[0], hidden[1])
    assert not torch.equal(prior._hide(ones, keys, "lstm.1"), hidden)
    assert torch.equal(prior.eval()._hide(ones, keys, "lstm.0"), ones)


@torch.no_grad()
def test_dropout_is_of_items_and_off_in_evaluation():
    prior, codes = small(dropout=0.5), draw((5,), 3, 6)
    keys = torch.tensor([7, 8, 9])
    drawn = prior.train()(codes, None, Condition(keys=keys))
    alone = prior(codes[1:2, :, :4], None, Condition(keys=keys[1:2]))
    torch.testing.assert_close(drawn[1:2, ..., :4], alone)
    assert not torch.equal(drawn, prior(codes, None, Condition(keys=keys + 3)))
    steps = prior.steps(3, 6)
    torch.testing.assert_close(steps.logits()[:, 0], prior.eval()(codes)[:, 0, :, 0])
