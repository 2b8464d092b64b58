import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from sklearn.metrics import roc_curve

from audiovq.errors import ConfigError
from audiovq.eval.probes import equal_error_rate, verification
from tests.eval.probes.made import SIZE, corpus

SCORES = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=20)


def reference(targets, impostors):
    """Where the interpolated curve of scikit-learn crosses the diagonal."""
    truth = [1] * len(targets) + [0] * len(impostors)
    alarm, hit, _ = roc_curve(truth, [*targets, *impostors], drop_intermediate=False)
    # a vertical step has no slope: the curve is walked along by its length, not by its alarms
    walked = np.arange(len(alarm))
    gap = lambda t: np.interp(t, walked, alarm) - (1 - np.interp(t, walked, hit))  # noqa: E731
    return float(np.interp(brentq(gap, 0, len(alarm) - 1, xtol=1e-13), walked, alarm))


@given(SCORES, SCORES)
def test_equal_error_rate_is_where_scikit_learns_curve_crosses(targets, impostors):
    found = equal_error_rate(targets, impostors)
    assert found == pytest.approx(reference(targets, impostors), abs=1e-9)


@given(SCORES, SCORES)
def test_equal_error_rate_does_not_change_with_the_scale_and_turns_with_the_sign(a, b):
    rate = equal_error_rate(a, b)
    assert equal_error_rate([3 * x + 1 for x in a], [3 * x + 1 for x in b]) == rate
    assert equal_error_rate(b, a) == pytest.approx(1 - rate)


@pytest.mark.parametrize(
    ("targets", "impostors", "expected"),
    [
        ([2.0, 3.0], [0.0, 1.0], 0.0),
        ([0.0, 1.0], [2.0, 3.0], 1.0),
        ([1.0], [1.0, 1.0, 1.0], 0.5),
        ([1.0, 4.0], [0.0, 2.0], 0.5),
        ([1.0, 4.0, 5.0], [0.0, 2.0, -1.0], 1 / 3),
        ([1.0, 2.0], [1.0, 0.0], 0.25),
    ],
)
def test_equal_error_rates_by_hand(targets, impostors, expected):
    assert equal_error_rate(targets, impostors) == pytest.approx(expected)


def test_no_scores_are_refused():
    with pytest.raises(ConfigError, match="at least one target and one impostor"):
        equal_error_rate([1.0], [])


def test_a_planted_leak_is_found_and_its_absence_too():
    leaky = verification(*corpus(0.6, speakers=30, each=2, length=400), sizes=(SIZE,))
    assert leaky.eer.value < 0.05
    assert leaky.rank1.value > 0.9
    assert leaky.eer.low <= leaky.eer.value <= leaky.eer.high
    silent = verification(*corpus(0.0, speakers=60, each=1, length=400), sizes=(SIZE,))
    assert 0.35 < silent.eer.value < 0.65
    assert silent.rank1.value < 0.12
    assert silent.chance_rank1 == 1 / 60


def test_constant_units_are_exactly_at_chance():
    units, speakers = [np.full(51 + i, 3) for i in range(7)], list("abcdefg")
    found = verification(units, speakers, sizes=(8,))
    assert found.eer.value == pytest.approx(0.5)
    assert found.rank1.value == pytest.approx(1 / 7)


@given(st.lists(st.lists(st.integers(0, 2), min_size=2, max_size=6), min_size=2, max_size=4))
def test_rank_one_equals_a_slow_search_with_ties_shared(recordings):
    units = [np.array(r) for r in recordings]
    names = [str(i) for i in range(len(units))]
    found = verification(units, names, sizes=(3,))
    cuts = [round(len(u) / 2) for u in units]
    halves = [u[:c] for u, c in zip(units, cuts, strict=True)]
    halves += [u[c:] for u, c in zip(units, cuts, strict=True)]
    x = np.sqrt([np.bincount(h, minlength=3) / len(h) for h in halves])
    x = x - x.mean(0)
    shares = []
    for i in range(len(units)):
        for a, others in ((i, x[len(units) :]), (i + len(units), x[: len(units)])):
            alike = [round(float(cosine(x[a], o)), 9) for o in others]
            best = [j for j, value in enumerate(alike) if value == max(alike)]
            shares.append((i in best) / len(best))
    assert found.rank1.value == pytest.approx(np.mean(shares))


def cosine(a, b):
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return a @ b / norms if norms > 1e-9 else 0.0


def test_each_speakers_longest_recording_is_used():
    units, speakers = corpus(0.6, speakers=12, each=1, length=400)
    noise, names = corpus(0.0, speakers=12, each=1, length=399)
    alone = verification(units, speakers, sizes=(SIZE,))
    assert verification(units + noise, speakers + names, sizes=(SIZE,)) == alone
    assert verification(noise + units, names + speakers, sizes=(SIZE,)) == alone


def test_the_ceiling_whitens_frames_and_finds_speakers():
    units, speakers = corpus(0.0, speakers=20, each=1)
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(3, 3)) * [1, 30, 900]
    frames = [(rng.normal(size=(200, 3)) + rng.normal(size=3)) @ mixing for _ in speakers]
    found = verification(units, speakers, sizes=(SIZE,), mfcc=frames.__getitem__)
    assert found.mfcc_eer.value < 0.05
    assert found.mfcc_rank1.value > 0.7
    turn = rng.normal(size=(3, 3))
    again = [f @ turn for f in frames]
    same = verification(units, speakers, sizes=(SIZE,), mfcc=again.__getitem__)
    assert same.mfcc_eer.value == pytest.approx(found.mfcc_eer.value, abs=1e-3)


def test_it_repeats_and_draws_when_there_are_too_many():
    units, speakers = corpus(0.3, speakers=12, each=1)
    few = verification(units, speakers, sizes=(SIZE,), most_speakers=5)
    assert few == verification(units, speakers, sizes=(SIZE,), most_speakers=5)
    assert (few.speakers, few.left_out) == (5, 7)


def test_too_few_give_a_reason_and_few_give_no_interval():
    one = verification([np.zeros(9, np.int64)] * 2, ["a", None], sizes=(2,))
    assert one.eer is None
    assert "it takes 2" in one.reason
    three = verification(*corpus(0.6, speakers=3, each=1), sizes=(SIZE,))
    assert three.eer.low is None
    assert three.rank1.low is None
    short = verification([np.zeros(1, np.int64)] * 3, list("abc"), sizes=(2,))
    assert short.left_out == 3
