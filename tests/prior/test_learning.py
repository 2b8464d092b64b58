"""A source of known entropy rate is learnt to within 1 % of it, by every neural prior.

Of one row, any Markov chain will do. Of several, the delay pattern (wavenet, lstm, transformer)
is exact where a row is predicted from itself and the rows above it, those of its own frame
included, as `residual_like` draws them. What it loses of any other chain: row k is told of row
k + 1 only what is at least two frames old, since the codes of a column are drawn at once. PixelCNN
loses nothing, whatever the chain.
"""

import pytest
import torch

from audiovq import registry
from audiovq.config import parse
from tests.prior import sources

NEURAL = [name for name in registry.names("priors") if name != "ngram"]  # which counts
SMALL = {
    "lstm": {"channels": 24, "layers": 1},
    "pixelcnn": {"channels": 16, "dilations": [1, 2]},
    "transformer": {"channels": 16, "layers": 2, "heads": 2, "window": 4},
    "wavenet": {"channels": 16, "skip_channels": 16, "dilations": [1, 2]},
}


def learnt(name, transition, sizes, *, steps):
    found = registry.get("priors", name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = parse(found.config, {"name": name, "dropout": 0.0, **SMALL.get(name, {})})
        prior = found.cls(config, sizes)
    train = sources.draw(transition, sizes, 1500, 64, seed=1)
    return sources.learn(prior, train, steps=steps)


@pytest.mark.parametrize("name", NEURAL)
def test_a_markov_source_is_learnt(name):
    transition = sources.markov((6,))
    sources.check_learnt(learnt(name, transition, (6,), steps=150), transition)


@pytest.mark.slow
@pytest.mark.parametrize("name", NEURAL)
def test_rows_of_which_each_refines_those_before_are_learnt(name):
    transition = sources.residual_like(3, 4)
    sources.check_learnt(learnt(name, transition, (3, 4), steps=350), transition)


@pytest.mark.slow
def test_pixelcnn_learns_any_two_rows():
    transition = sources.markov((3, 4))
    sources.check_learnt(learnt("pixelcnn", transition, (3, 4), steps=500), transition)


def test_the_rate_is_that_of_the_definition():
    transition = sources.residual_like(3, 2)
    torch.testing.assert_close(transition.sum(1), torch.ones(6).double())
    codes = sources.draw(transition, (3, 2), 200, 200, seed=3)
    told = sources.nats_of_source(transition, codes, (3, 2), skip=1)
    assert abs(told / sources.entropy_rate(transition) - 1) < 0.01
