"""Sparse autoencoder: the penalty is the full-batch formula, whatever the batch."""

import pytest
import torch

from audiovq.bottlenecks._base import Context
from audiovq.bottlenecks.sparse import Config, Sparse
from audiovq.config import parse
from audiovq.errors import ConfigError


def make(**values):
    return Sparse(parse(Config, {"dim": 5, "weight": 1.0, **values}))


def frames(items=4, length=50, seed=0):
    return torch.randn(items, 5, length, generator=torch.Generator().manual_seed(seed))


def kl(rho, mean):
    return (rho * (rho / mean).log() + (1 - rho) * ((1 - rho) / (1 - mean)).log()).sum()


def test_value_and_gradient_equal_the_full_batch_formula():
    sparse, z = make(decay=0.0), frames().requires_grad_()
    sparse.update(sparse(z).statistics)  # the running mean is now the batch's
    loss = sparse(z).loss.mean()
    full = kl(torch.tensor(0.05), z.sigmoid().mean((0, 2)))
    torch.testing.assert_close(loss, full)
    torch.testing.assert_close(torch.autograd.grad(loss, z), torch.autograd.grad(full, z))


def test_unequal_parts_have_the_gradient_of_the_whole():
    """A local mean over unequal parts weighs some frames several times more than others."""
    sparse, z = make(decay=0.0), frames().requires_grad_()
    sparse.update(sparse(z).statistics)
    (whole,) = torch.autograd.grad(sparse(z).loss.sum() / 200, z)
    parts = [(sparse(z[:, :, a:b]).loss.sum() / 200) for a, b in ((0, 7), (7, 50))]
    torch.testing.assert_close(torch.autograd.grad(sum(parts), z)[0], whole)


@pytest.mark.parametrize("rho", [0.05, 0.3])
def test_mean_activation_goes_to_rho(rho):
    sparse = make(rho=rho, decay=0.9)
    shift = torch.zeros(5, 1, requires_grad=True)
    optimizer = torch.optim.Adam([shift], lr=0.05)
    for step in range(400):
        out = sparse(frames(seed=step) + shift)
        optimizer.zero_grad()
        out.loss.mean().backward()
        optimizer.step()
        sparse.update(out.statistics)
    figures = sparse.describe(sparse(frames(seed=999) + shift.detach()).statistics)
    assert figures["mean_activation"] == pytest.approx(rho, rel=0.1)


def test_l1_is_the_sum_of_rectified_units():
    sparse, z = make(penalty="l1", weight=0.5), frames()
    out = sparse(z)
    assert torch.equal(out.z, z.relu())
    torch.testing.assert_close(out.loss, 0.5 * z.relu().sum(1))


def test_masked_frames_are_not_activations():
    sparse = make()
    mask = (torch.arange(50) < 20).expand(4, 1, 50)
    sums = sparse(frames(), Context(mask=mask)).statistics.sums
    cut = sparse(frames()[..., :20]).statistics.sums
    for k, v in cut.items():
        torch.testing.assert_close(sums[k], v)


@pytest.mark.parametrize("rho", [0.0, 1.0, -0.1, float("nan")])
def test_rho_out_of_range_is_refused(rho):
    with pytest.raises(ConfigError, match="rho"):
        parse(Config, {"rho": rho})
