import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from audiovq.bottlenecks import _codebook as codebook
from audiovq.bottlenecks._base import EMPTY
from audiovq.bottlenecks._estimators import straight_through


def nearest_reference(z, e):
    """Every distance in float64, one pair at a time; the first minimum wins."""
    return torch.tensor([int(((row - e) ** 2).sum(1).argmin()) for row in z.double()])


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 70), st.integers(1, 40), st.integers(1, 20), st.integers(0, 99))
def test_nearest_is_nearest(rows, size, dim, seed):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(rows, dim, generator=generator)
    e = torch.randn(size, dim, generator=generator)
    assert torch.equal(codebook.nearest(z, e), nearest_reference(z, e.double()))


def test_nearest_in_many_blocks(monkeypatch):
    z, e = torch.randn(1000, 8), torch.randn(64, 8)
    whole = codebook.nearest(z, e)
    monkeypatch.setitem(codebook._BLOCK_BYTES, "cpu", 64 * 4 * 7)  # seven rows a block
    assert torch.equal(codebook.nearest(z, e), whole)


def test_ties_go_to_the_lowest_index():
    e = torch.randn(48, 16)
    doubled = torch.cat([e, e, e])
    assert codebook.nearest(torch.randn(500, 16), doubled).max() < 48
    assert codebook.nearest(torch.zeros(3, 16), torch.zeros(9, 16)).tolist() == [0, 0, 0]


def test_nearest_is_float32_under_autocast():
    z, e = torch.randn(2000, 32), torch.randn(256, 32) * 0.01 + 1.0
    plain = codebook.nearest(z, e)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(codebook.nearest(z, e), plain)
        assert torch.equal(codebook.nearest(z.double().float(), e), plain)


def test_straight_through_is_the_code_itself_bit_for_bit():
    z, z_q = torch.randn(4000, requires_grad=True), torch.randn(4000)
    out = straight_through(z, z_q)
    assert torch.equal(out, z_q)
    assert not torch.equal(z + (z_q - z).detach(), z_q)  # the usual formula is not
    out.backward(torch.arange(4000.0))
    assert torch.equal(z.grad, torch.arange(4000.0))


def test_squared_distance_and_its_gradients():
    z = torch.randn(9000, 5, dtype=torch.float64, requires_grad=True)
    q = torch.randn(9000, 5, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(codebook.squared_distance(z, q), (z - q).square().mean(1))
    small = [t[:7].detach().requires_grad_() for t in (z, q)]
    assert torch.autograd.gradcheck(codebook.squared_distance, small)


def test_counts_and_sums_equal_a_one_hot_product():
    z, codes = torch.randn(300, 6), torch.randint(0, 11, (300,))
    real = torch.rand(300) < 0.7
    one_hot = torch.nn.functional.one_hot(codes, 11).float() * real.unsqueeze(1)
    counts, sums = codebook.count_and_sum(z, codes, 11, real)
    torch.testing.assert_close(counts, one_hot.sum(0))
    torch.testing.assert_close(sums, one_hot.T @ z)


def test_a_draw_is_by_key_and_frame_whatever_the_batch():
    z, keys = torch.randn(60, 3), torch.tensor([5, 6, 7])
    whole = codebook.draw(keys, len(z) // len(keys), None, 10, "x").of(z)
    parts = [
        codebook.draw(keys[i : i + 1], 20, None, 10, "x").of(z[i * 20 : i * 20 + 20])
        for i in (2, 0, 1)
    ]
    merged = parts[0] + parts[1] + parts[2]
    assert torch.equal(merged.hashes, whole.hashes)
    assert torch.equal(merged.frames, whole.frames)


def test_a_draw_from_too_few_frames_marks_the_empty_slots():
    real = torch.tensor([True, False, True])
    drawn = codebook.draw(torch.tensor([1]), 3, real, 5, "x").of(torch.randn(3, 2))
    assert (drawn.hashes != EMPTY).tolist() == [True, True, False, False, False]


def test_kmeans_reaches_scikit_learns_inertia():
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(8, 4, generator=generator) * 5
    z = centres.repeat(100, 1) + torch.randn(800, 4, generator=generator)

    def inertia(c):
        return float((z - c[codebook.nearest(z, c)]).square().sum())

    ours = inertia(codebook.kmeans(z, 16, iterations=30))
    theirs = KMeans(16, n_init=1, init="random", max_iter=30, random_state=0).fit(z.numpy())
    assert ours < 1.15 * theirs.inertia_


@pytest.mark.parametrize("rows", [1, 3])
def test_kmeans_with_fewer_frames_than_codes(rows):
    z = torch.randn(rows, 4)
    centres = codebook.kmeans(z, 8, iterations=5)
    assert torch.isfinite(centres).all()
    assert (z - centres[codebook.nearest(z, centres)]).abs().max() < 0.1


def test_kmeans_is_decided_by_its_seed_and_leaves_the_generator_alone():
    z, state = torch.randn(200, 4), torch.get_rng_state()
    a, b = (codebook.kmeans(z, 8, iterations=3, seed=1) for _ in range(2))
    assert torch.equal(a, b)
    assert not torch.equal(a, codebook.kmeans(z, 8, iterations=3, seed=2))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("iterations", [0, 1, 20])
def test_fewer_frames_than_codes_still_give_codes_of_their_own(iterations):
    z = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
    centres = codebook.kmeans(z, 32, iterations=iterations)
    assert len(centres.unique(dim=0)) == 32
    assert (torch.cdist(centres, z).min(dim=1).values < 0.1).all()
