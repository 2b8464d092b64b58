"""Time jitter: neighbours only, as often as asked, the same whatever the batch."""

import pytest
import torch

from audiovq import registry
from audiovq.bottlenecks._base import Context, DiscreteBottleneck
from audiovq.bottlenecks._jitter import jitter
from tests.bottlenecks.test_contract import call, frames, keys, make

DISCRETE = [
    n
    for n in registry.names("bottlenecks")
    if issubclass(registry.get("bottlenecks", n).cls, DiscreteBottleneck)
]


def ramp(items=4, length=500):
    """Frames whose value is their position."""
    return torch.arange(float(length)).expand(items, 1, length).contiguous()


def test_frames_come_from_themselves_or_a_neighbour_as_often_as_asked():
    moved = jitter(ramp(40), 0.3, Context(keys=keys(40))) - ramp(40)
    assert set(moved.unique().tolist()) == {-1.0, 0.0, 1.0}
    assert float((moved == 0).float().mean()) == pytest.approx(0.7, abs=0.01)
    assert float((moved == 1).float().mean()) == pytest.approx(0.15, abs=0.01)


def test_each_item_has_its_own_draws_whatever_the_batch_and_padding():
    whole = jitter(ramp(4), 0.5, Context(keys=keys(4)))
    alone = jitter(ramp(1), 0.5, Context(keys=keys(4)[2:3]))
    assert torch.equal(whole[2:3], alone)
    assert not torch.equal(whole[0], whole[1])
    short = jitter(ramp(1, 300), 0.5, Context(keys=keys(4)[2:3]))
    assert torch.equal(short[..., :299], alone[..., :299])


def test_a_masked_neighbour_replaces_nothing():
    mask = (torch.arange(500) < 200).expand(4, 1, 500)
    moved = jitter(ramp(4), 0.9, Context(mask=mask, keys=keys(4)))
    assert moved[..., :200].max() == 199


@pytest.mark.parametrize("name", DISCRETE)
def test_every_discrete_bottleneck_jitters_in_training_only(name):
    plain, jittered = make(name), make(name, jitter=0.5)
    z, context = frames(plain, 2, 30), Context(keys=keys(2))
    plain.eval()  # without quantizer dropout
    jittered.eval()
    expected = call(plain, z, context)
    assert torch.equal(call(jittered, z, context).z, expected.z)
    jittered.train()
    if name == "rvq":
        jittered.config = jittered.config.model_copy(update={"dropout": 0.0})
    out = call(jittered, z, context)
    assert torch.equal(out.codes, expected.codes)
    assert torch.equal(out.z, jitter(expected.z, 0.5, context))
    assert not torch.equal(out.z, expected.z)
