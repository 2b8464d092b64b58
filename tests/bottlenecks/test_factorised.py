"""Codes on a low-dimensional sphere, and the rotation trick, in the EMA quantizer."""

import pytest
import torch
from torch.nn import functional as F

from audiovq.bottlenecks._base import Context
from audiovq.bottlenecks._estimators import rotate
from audiovq.bottlenecks.vq_ema import VQEMA, Config
from audiovq.config import parse
from audiovq.errors import ConfigError


def make(**values):
    torch.manual_seed(0)
    factorised = {"dim": 3, **values.pop("factorised", {})}
    config = {"dim": 8, "codebook_size": 16, "factorised": factorised, **values}
    vq = VQEMA(parse(Config, config))
    vq.initialise(frames(8, 100, seed=1))
    return vq


def frames(items=4, length=50, seed=0):
    return torch.randn(items, 8, length, generator=torch.Generator().manual_seed(seed))


def test_codes_are_the_most_parallel_ones_and_have_length_one():
    vq, z = make(), frames()
    torch.testing.assert_close(vq.codebook.vectors.norm(dim=1), torch.ones(16))
    low = F.normalize(z.transpose(1, 2) @ vq.space.down.weight.T + vq.space.down.bias, dim=2)
    wanted = (low @ vq.codebook.vectors.T).argmax(2)
    assert torch.equal(vq.encode(z)[:, 0], wanted)
    up = vq.codebook.vectors[wanted] @ vq.space.up.weight.T + vq.space.up.bias
    torch.testing.assert_close(vq(z).z, up.transpose(1, 2))
    assert torch.equal(vq.decode(vq.encode(z)), vq(z).z)


def test_without_normalising_codes_are_the_nearest_in_the_low_dimension():
    vq, z = make(factorised={"normalise": False}), frames()
    low = vq.space.down(z.transpose(1, 2))
    assert torch.equal(vq.encode(z)[:, 0], torch.cdist(low, vq.codebook.vectors).argmin(2))


def test_a_code_moves_to_the_mean_direction_of_its_frames():
    vq, z = make(decay=0.0, revive_threshold=0.0), frames()
    codes = vq.encode(z).flatten()
    low = vq.space.enter(z.transpose(1, 2).reshape(-1, 8))
    vq.update(vq(z).statistics)
    for n in codes.unique():
        direction = F.normalize(low[codes == n].sum(0), dim=0)
        torch.testing.assert_close(vq.codebook.vectors[n], direction)


def test_projections_learn_from_reconstruction_and_commitment():
    vq, z = make(), frames().requires_grad_()
    vq(z).z.square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in vq.parameters())
    assert z.grad.abs().sum() > 0
    vq.zero_grad()
    vq(z).loss.sum().backward()
    assert vq.space.down.weight.grad.abs().sum() > 0
    assert vq.space.up.weight.grad is None or vq.space.up.weight.grad.abs().sum() == 0


def test_the_rotation_trick_changes_the_gradient_and_nothing_else():
    plain = VQEMA(parse(Config, {"dim": 8, "codebook_size": 16}))
    turned = VQEMA(parse(Config, {"dim": 8, "codebook_size": 16, "estimator": "rotation"}))
    a, b = (frames().requires_grad_() for _ in range(2))
    keys, weight = Context(keys=torch.arange(4)), torch.randn(4, 8, 50)
    outs = [vq(z, keys) for vq, z in ((plain, a), (turned, b))]
    assert torch.equal(outs[0].z, outs[1].z)
    assert torch.equal(outs[0].codes, outs[1].codes)
    for out in outs:
        (out.z * weight).sum().backward()
    assert torch.equal(a.grad, weight)
    rows = frames().transpose(1, 2).reshape(-1, 8).requires_grad_()
    q = outs[1].z.detach().transpose(1, 2).reshape(-1, 8)
    rotate(rows, q).backward(weight.transpose(1, 2).reshape(-1, 8))
    torch.testing.assert_close(b.grad, rows.grad.view(4, 50, 8).transpose(1, 2))


@pytest.mark.parametrize("values", [{"estimator": "gumbel"}, {"factorised": {"dims": 8}}])
def test_what_is_not_there_is_refused(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        parse(Config, values)
