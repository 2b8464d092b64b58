"""Clustering in memory, beside scikit-learn's."""

import pytest
import torch

from audiovq.units._lloyd import iterate, seed_centres

cluster = pytest.importorskip("sklearn.cluster")


def blobs(rows, dim, seed=0, groups=40):
    generator = torch.Generator().manual_seed(seed)
    middles = torch.randn(groups, dim, generator=generator) * 3
    which = torch.randint(0, groups, (rows,), generator=generator)
    return middles[which] + torch.randn(rows, dim, generator=generator)


def inertia(rows, centres):
    return float(torch.cdist(rows.double(), centres.double()).square().min(dim=1).values.mean())


def run(rows, size, seed=0, most=100):
    centres, last = seed_centres(rows, size, seed), 1e30
    for _ in range(most):
        step = iterate(rows, centres)
        if last - step.inertia <= 1e-4 * last:
            break
        centres, last = step.centres, step.inertia
    return centres


@pytest.mark.parametrize(("rows", "dim", "size"), [(4000, 8, 64), (3000, 39, 100)])
def test_centres_are_as_good_as_scikit_learns(rows, dim, size):
    x = blobs(rows, dim)
    theirs = [
        cluster.KMeans(size, n_init=1, random_state=s).fit(x.numpy()).inertia_ / rows
        for s in range(3)
    ]
    mini = cluster.MiniBatchKMeans(size, n_init=1, random_state=0).fit(x.numpy()).inertia_ / rows
    ours = [inertia(x, run(x, size, seed)) for seed in range(3)]
    assert max(ours) < 1.03 * max(theirs)
    assert sum(ours) / 3 < mini  # full passes beat mini-batches


def test_an_iteration_is_scikit_learns():
    x = blobs(2000, 5)
    first = seed_centres(x, 30, 0)
    theirs = cluster.KMeans(30, init=first.numpy(), n_init=1, max_iter=1, tol=0).fit(x.numpy())
    step = iterate(x, first)
    codes = torch.cdist(x.double(), first.double()).argmin(dim=1)
    assert torch.equal(step.counts, torch.bincount(codes, minlength=30))
    assert step.inertia == pytest.approx(inertia(x, first), rel=1e-5)
    torch.testing.assert_close(
        step.centres, torch.from_numpy(theirs.cluster_centers_), rtol=1e-4, atol=1e-4
    )


def test_seeding_is_as_good_as_scikit_learns_and_follows_its_seed():
    x = blobs(3000, 6)
    ours = [inertia(x, seed_centres(x, 50, s)) for s in range(8)]
    theirs = [
        inertia(x, torch.from_numpy(cluster.kmeans_plusplus(x.numpy(), 50, random_state=s)[0]))
        for s in range(8)
    ]
    assert sum(ours) < 1.1 * sum(theirs)
    assert sum(ours) < 0.8 * sum(inertia(x, x[torch.randperm(3000)[:50]]) for _ in range(8))
    assert torch.equal(seed_centres(x, 50, 3), seed_centres(x, 50, 3))
    assert not torch.equal(seed_centres(x, 50, 3), seed_centres(x, 50, 4))
    assert len(seed_centres(x, 50, 0).unique(dim=0)) == 50


def test_a_centre_without_rows_goes_where_it_is_needed():
    x = torch.cat([torch.zeros(50, 2), torch.full((50, 2), 9.0), torch.tensor([[0.0, 30.0]])])
    centres = torch.tensor([[0.0, 0.0], [9.0, 9.0], [99.0, 99.0]])
    step = iterate(x, centres)
    assert step.counts.tolist() == [50, 51, 0]
    assert step.centres[2].tolist() == [0.0, 30.0]
    again = iterate(x, step.centres)
    assert again.counts.tolist() == [50, 50, 1]


def test_rows_that_are_all_alike_leave_centres_empty_and_finite():
    x = torch.ones(20, 3)
    centres = seed_centres(x, 4, 0)
    step = iterate(x, centres)
    assert step.counts.tolist() == [20, 0, 0, 0]
    assert step.inertia == 0.0
    assert torch.equal(step.centres, torch.ones(4, 3))
