import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiovq.eval import edit
from audiovq.eval.edit import deduplicated, edit_distance, edit_distances

FEW = st.lists(st.integers(0, 3), max_size=12)


def slow(a, b):
    """The textbook table, row by row."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
    return row[-1]


@given(st.lists(FEW, max_size=4), st.lists(FEW, max_size=6))
def test_all_pairs_equal_the_textbook_table(rows, columns):
    found = edit_distances(rows, columns)
    assert found.shape == (len(rows), len(columns))
    assert found.tolist() == [[slow(a, b) for b in columns] for a in rows]


@given(FEW, FEW, FEW)
def test_it_is_a_metric(a, b, c):
    assert edit_distance(a, b) == edit_distance(b, a)
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("kitten", "sitting", 3),
        ("", "abc", 3),
        ("abc", "", 3),
        ("", "", 0),
        (["sil", "ae"], ["ae"], 1),
        (np.array([3, 3, 7]), np.array([3, 7], np.int32), 1),
        (np.array([3, 7]), [3, 7], 0),
        (np.array(["ah", "b"]), ("ah", "b"), 0),
    ],
)
def test_known_distances_of_any_symbols(a, b, expected):
    assert edit_distance(a, b) == expected


def test_sequences_of_many_words_and_many_packs_equal_the_table(monkeypatch):
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 9, n) for n in (1, 63, 64, 65, 150)]
    whole = edit_distances(rows, rows)
    assert whole.tolist() == [[slow(a, b) for b in rows] for a in rows]
    for bits in (1, 65, 130):  # cut between the sequences elsewhere
        monkeypatch.setattr(edit, "_MOST_BITS", bits)
        assert (edit_distances(rows, rows) == whole).all()


@given(st.lists(st.integers(0, 2), max_size=20))
def test_deduplicated_keeps_the_first_of_each_run(units):
    expected = [u for i, u in enumerate(units) if i == 0 or units[i - 1] != u]
    assert deduplicated(np.array(units, np.int64)).tolist() == expected
