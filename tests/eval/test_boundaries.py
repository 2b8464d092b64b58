import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.eval import boundaries
from audiovq.eval.boundaries import hits, scores, segments, unit_boundaries
from tests.eval.corpora import corpus, values


@pytest.mark.parametrize(
    ("gold", "found", "expected"),
    [
        ([0.10], [0.10], 1),
        ([0.10], [0.12], 1),  # 20 ms away counts, though 0.12 - 0.10 > 0.02 in floating point
        ([0.10], [0.08], 1),
        ([0.10], [0.1201], 0),
        ([0.10, 0.12], [0.11], 1),  # the midpoint belongs to the later of the two
        ([0.10, 0.12], [0.109, 0.111], 2),
        ([0.10, 0.12], [0.10, 0.105], 1),  # both are the first's
        ([0.10], [0.09, 0.10, 0.11], 1),  # one hit for each boundary
        ([0.10, 0.30], [], 0),
        ([], [0.1], 0),
    ],
)
def test_hits_by_hand(gold, found, expected):
    assert hits(np.array(gold, float), np.array(found, float)) == expected


times = st.lists(st.integers(1, 60), unique=True, max_size=12).map(sorted)


@settings(max_examples=300, deadline=None)
@given(times, times)
def test_hits_equal_a_slow_reference(gold, found):
    """In units of 5 ms; windows of 4 units, cut at midpoints."""
    expected = 0
    for i, g in enumerate(gold):
        low = max(g - 4, (gold[i - 1] + g) / 2 if i else -math.inf)
        high = (gold[i + 1] + g) / 2 if i + 1 < len(gold) else math.inf
        expected += any(low <= f <= g + 4 and f < high for f in found)
    assert hits(np.array(gold) * 0.005, np.array(found) * 0.005) == expected
    assert expected <= min(len(gold), len(found))


def test_r_value_of_the_paper():
    perfect = scores(10, 10, 10)
    assert (perfect.precision, perfect.recall, perfect.f1) == (1, 1, 1)
    assert (perfect.over_segmentation, perfect.r_value) == (0, 1)
    # by hand: 20 found, 10 true, 8 hit: P .4, R .8, OS 1
    s = scores(8, 20, 10)
    assert (s.precision, s.recall, s.over_segmentation) == (0.4, 0.8, 1.0)
    r1 = math.sqrt(0.2**2 + 1)
    r2 = (-1 + 0.8 - 1) / math.sqrt(2)
    assert s.r_value == pytest.approx(1 - (abs(r1) + abs(r2)) / 2)
    assert scores(0, 0, 5).r_value == pytest.approx(1 - (math.sqrt(2) + 0) / 2)
    assert scores(0, 0, 0).f1 == 0


def test_unit_boundaries_are_where_runs_begin():
    assert unit_boundaries(np.array([3, 3, 1, 1, 1, 3]), 0.02).tolist() == pytest.approx(
        [0.04, 0.1]
    )


def test_segments_join_equal_neighbours_and_keep_gaps():
    c = corpus([("a", "ss.n--", "000000")])
    u = c.utterances[0]
    joined = segments(u, {"s": "s", "sil": "sil", "n": "s"})
    labels = [label for _, _, label in joined]
    assert labels == ["s", "sil", "s", None]
    assert joined[0][0] == 0
    assert joined[-1][1] == u.duration
    same = segments(u, {"s": "s", "sil": "s", "n": "s"})
    assert [s[2] for s in same] == ["s", None]


def test_a_perfect_cut_and_one_boundary_too_many():
    found = values(boundaries.evaluate(corpus([("a", "sssssnnnnn", "0000011111")])))
    assert found["boundary_f1"] == found["r_value"] == 1
    assert found["unit_segment"] == pytest.approx(50)
    assert found["phone_segment"] == pytest.approx(50)
    found = values(boundaries.evaluate(corpus([("a", "sssssnnnnn", "0000011222")])))
    assert found["boundary_precision"] == 0.5
    assert found["boundary_recall"] == 1
    assert found["over_segmentation"] == 1


def test_counts_add_up_over_utterances():
    one, two = ("a", "sssssnnnnn", "0000011111"), ("b", "sssssnnnnn", "0111111111")
    found = values(boundaries.evaluate(corpus([one, two])))
    assert found["boundary_recall"] == 0.5
    assert found["boundary_precision"] == 0.5


def test_constant_units_hit_nothing():
    found = values(boundaries.evaluate(corpus([("a", "sssnnn", "000000")])))
    assert found["boundary_precision"] == found["boundary_recall"] == found["boundary_f1"] == 0
    assert found["over_segmentation"] == -1


def test_chance_is_far_from_a_perfect_cut_and_seeded():
    rng = np.random.default_rng(0)
    lengths = [rng.integers(4, 13, 60) for _ in range(3)]
    said = ["".join(np.repeat(rng.choice(list("snia"), 60), n)) for n in lengths]
    c = corpus([("a", s, "".join(str("snia".index(p)) for p in s)) for s in said])
    found = {f.name: f for f in boundaries.evaluate(c)}
    assert found["boundary_f1"].value == found["r_value"].value == 1
    shifted = found["boundary_f1_shifted"]
    assert shifted.count == 20
    # by chance: a boundary in three quarters of windows of 5 frames, of 8 on average
    assert 0.3 < shifted.value < 0.6
    assert shifted.lowest <= shifted.value <= shifted.highest
    assert values(boundaries.evaluate(c)) == {f.key: f.value for f in boundaries.evaluate(c)}
    assert values(boundaries.evaluate(c, seed=1)) != values(boundaries.evaluate(c))


def test_the_slack_of_an_alignment_is_no_boundary():
    """TIMIT's last row ends some milliseconds before the audio."""
    whole, short = (corpus([("a", "sssssnnnnn", "0000011111")]) for _ in range(2))
    u = short.utterances[0]
    cut = [(a + 0.004 * (a == 0), b - 0.004 * (b == u.duration), p) for a, b, p in u.phones]
    object.__setattr__(u, "phones", tuple(cut))
    assert len(segments(u, dict(short.folding))) == 4
    names = ("boundary_precision", "boundary_recall", "boundary_f1")
    one, other = (values(boundaries.evaluate(c)) for c in (whole, short))
    assert [one[n] for n in names] == [other[n] for n in names]


def test_phones_that_never_change_have_no_boundaries():
    assert boundaries.evaluate(corpus([("a", "ssss", "0011")])) == []
