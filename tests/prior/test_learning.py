"""A source of known entropy rate is learnt to within 1 % of it."""

import pytest
import torch

from audiovq import registry
from audiovq.config import parse
from tests.prior import sources

SMALL = {"channels": 16, "skip_channels": 16, "dilations": [1, 2], "dropout": 0.0}


def learnt(name, sizes, transition, *, steps):
    found = registry.get("priors", name)
    values = {k: v for k, v in SMALL.items() if k in found.config.model_fields}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        prior = found.cls(parse(found.config, {"name": name, **values}), sizes)
    train = sources.draw(transition, sizes, 1500, 64, seed=1)
    return sources.learn(prior, train, steps=steps)


def check(prior, transition):
    """Nats per frame of new sequences against the rate, which no prior can beat by much."""
    unseen = sources.draw(transition, prior.codebook_sizes, 1000, 64, seed=2)
    found = sources.nats_per_frame(prior, unseen, skip=4)
    assert abs(found / sources.entropy_rate(transition) - 1) < 0.01


@pytest.mark.parametrize("name", ["wavenet", "pixelcnn"])
def test_a_markov_source_is_learnt(name):
    transition = sources.markov((6,))
    check(learnt(name, (6,), transition, steps=300), transition)


def test_wavenet_learns_rows_of_which_each_refines_those_before():
    transition = sources.residual_like(3, 4)
    check(learnt("wavenet", (3, 4), transition, steps=300), transition)


@pytest.mark.slow
def test_pixelcnn_learns_any_two_rows():
    transition = sources.markov((3, 4))
    check(learnt("pixelcnn", (3, 4), transition, steps=500), transition)


def test_the_rate_is_that_of_the_definition():
    transition = sources.residual_like(3, 2)
    torch.testing.assert_close(transition.sum(1), torch.ones(6).double())
    codes = sources.draw(transition, (3, 2), 200, 200, seed=3)
    joint = codes[:, 0] + 3 * codes[:, 1]
    told = -transition.log()[joint[:, :-1], joint[:, 1:]].mean()
    assert abs(float(told) / sources.entropy_rate(transition) - 1) < 0.01
