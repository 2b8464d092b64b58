import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.eval import transitions

ROWS = st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=30), min_size=1, max_size=4)


def arrays(rows):
    return [np.array(row, np.int64) for row in rows]


@given(ROWS, st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_pairs_are_those_of_a_loop(rows, most):
    counts = np.bincount(np.concatenate(arrays(rows)), minlength=6)
    codes = transitions.commonest(counts, most)
    assert len(codes) == min(most, int((counts > 0).sum()))
    left_out = set(range(6)) - set(codes.tolist())
    assert all(counts[c] <= counts[codes].min() for c in left_out)
    pairs = transitions.count(arrays(rows), codes, 6)
    places = {int(c): i for i, c in enumerate(codes)}
    slow = np.zeros((len(codes) + 1,) * 2, np.int64)
    for row in rows:
        for a, b in pairwise(row):
            slow[places.get(a, len(codes)), places.get(b, len(codes))] += 1
    np.testing.assert_array_equal(pairs, slow)
    stays = transitions.stays(pairs)
    for code, i in places.items():
        following = [b for row in rows for a, b in pairwise(row) if a == code]
        share = following.count(code) / len(following) if following else 0
        assert stays[i] == pytest.approx(share)


def test_lift_is_the_ratio_to_chance():
    pairs = np.array([[90, 10, 0], [10, 190, 0], [0, 0, 700]])
    found = transitions.lift(pairs)
    assert found.shape == (2, 2)
    assert found[0, 0] == pytest.approx(math.log2(90.5 / 10.5))
    assert found[0, 1] == pytest.approx(math.log2(10.5 / 20.5))
    enough = transitions.lift(10**7 * pairs)
    assert enough[0, 0] == pytest.approx(math.log2(0.9 / 0.1), abs=1e-5)  # P(0 | 0) / P(0)


@given(st.integers(0, 12), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_an_order_names_every_code_once(size, seed):
    table = np.random.default_rng(seed).normal(size=(size, size))
    assert sorted(transitions.arrange(table)) == list(range(size))
    assert sorted(transitions.arrange(np.zeros((size, size)))) == list(range(size))


def test_codes_that_lead_to_each_other_come_together():
    """Three groups that rarely leave themselves, their codes numbered at random."""
    rng = np.random.default_rng(0)
    group = rng.permutation(np.repeat(np.arange(3), 6))
    chance = np.where(group[:, None] == group, 20.0, 0.3)
    pairs = np.zeros((19, 19), np.int64)
    pairs[:18, :18] = rng.poisson(chance)
    order = transitions.arrange(transitions.lift(pairs))
    assert int((np.diff(group[order]) != 0).sum()) == 2
