"""Warping of many pairs at once, against one pair at a time in plain Python."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.eval import dtw as module
from audiovq.eval.dtw import Sequences, dtw
from audiovq.eval.frame_distance import frame_distance, number_frames
from tests.eval.plain_abx import plain_dtw


def sequences(lists):
    lengths = np.array([len(s) for s in lists])
    return Sequences(np.concatenate(lists), np.cumsum(lengths) - lengths, lengths)


lists = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=7), min_size=2, max_size=6)


@settings(max_examples=60, deadline=None)
@given(lists, st.sampled_from(["identity", "euclidean", "angular"]), st.integers(1, 40))
def test_equals_one_pair_at_a_time(ids, name, cells):
    vectors = np.random.default_rng(0).normal(size=(4, 3))
    ids = [np.array(s) for s in ids]
    frames, table = number_frames(ids, None if name == "identity" else vectors)
    distance = frame_distance(name, table)
    parts = np.split(frames, np.cumsum([len(s) for s in ids])[:-1])
    first, second = (z.ravel() for z in np.indices((len(ids), len(ids))))
    before, module.CELLS = module.CELLS, cells
    try:
        ours = dtw(first, second, sequences(parts), distance)
    finally:
        module.CELLS = before
    for i, j, forth, back in zip(first, second, *ours, strict=True):
        cost = distance.pairwise(parts[i][:, None], parts[j][:, None])[..., 0].tolist()
        swapped = [list(row) for row in zip(*cost, strict=True)]
        assert forth == plain_dtw(cost) * distance.grid  # to the bit
        assert back == plain_dtw(swapped) * distance.grid


def test_agrees_with_the_definition_on_distances_that_are_not_rounded():
    rng = np.random.default_rng(1)
    items = [rng.normal(size=(n, 5)) for n in (1, 4, 9, 30)]
    frames, table = number_frames(items)
    ours = dtw(np.array([0, 1, 3]), np.array([3, 2, 1]), sequences(np.split(frames, [1, 5, 14])),
               frame_distance("euclidean", table))  # fmt: skip
    for value, (i, j) in zip(ours[0], [(0, 3), (1, 2), (3, 1)], strict=True):
        cost = np.linalg.norm(items[i][:, None] - items[j], axis=-1).tolist()
        assert value == pytest.approx(plain_dtw(cost), abs=1e-8)


def test_by_hand():
    # 0 1 1 2 against 0 1 2: all frames match, the path has four cells
    # 0 1 against 2 3 4: two diagonals and a step aside, nothing matches: 3 / 3
    # 0 1 against 1: 1 / 2
    ids = [np.array(s) for s in ([0, 1, 1, 2], [0, 1, 2], [0, 1], [2, 3, 4], [1])]
    value = dtw(
        np.array([0, 2, 2]), np.array([1, 3, 4]), sequences(ids), frame_distance("identity", None)
    )
    assert value.tolist() == [[0, 1, 0.5], [0, 1, 0.5]]


def test_where_paths_tie_the_row_decides():
    """Equal costs, other lengths: what torchdtw gives depends on the order of its arguments."""
    rng = np.random.default_rng(0)
    ids = [rng.integers(0, 3, rng.integers(4, 10)) for _ in range(800)]
    first, second = np.arange(0, 800, 2), np.arange(1, 800, 2)
    forth, back = dtw(first, second, sequences(ids), frame_distance("identity", None))
    for a, b, value in [*zip(first, second, forth), *zip(second, first, back)]:  # noqa: B905
        assert value == plain_dtw((ids[a][:, None] != ids[b]).tolist())
    assert (forth != back).sum() > 5


def test_very_long_sequences_are_exact():
    a, b = np.zeros(8191, np.int64), np.ones(8191, np.int64)
    _, table = number_frames([np.array([0, 1])], np.array([[0.0, 1.0], [1.0, 0.0]]))
    for name, expected in (("identity", 1.0), ("angular", 0.5), ("euclidean", 2**0.5)):
        value = dtw(
            np.array([0]), np.array([1]), sequences([a, b[:3]]), frame_distance(name, table)
        )
        assert value[0, 0] == pytest.approx(expected, abs=1e-9)
    assert module.length_bits(2 * 8191) == 14
    with pytest.raises(AssertionError):
        module.length_bits(1 << 15)


def test_no_pairs():
    none = np.empty(0, np.int64)
    value = dtw(none, none, sequences([np.array([0])]), frame_distance("identity", None))
    assert value.shape == (2, 0)
