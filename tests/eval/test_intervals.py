import numpy as np
import pytest
from scipy import stats

from audiovq.eval import intervals


def test_groups_are_speakers_when_there_are_five_of_them():
    groups = intervals.group(["a", "b", "a", "c", "d", "e"])
    assert groups.unit == "speakers"
    assert groups.index.tolist() == [0, 1, 0, 2, 3, 4]
    assert groups.number == 5


@pytest.mark.parametrize("speakers", [["a", "b", "c", "d"] * 3, ["a", "b", "c", "d", "e", None]])
def test_groups_are_utterances_when_speakers_are_few_or_unknown(speakers):
    groups = intervals.group(speakers)
    assert groups.unit == "utterances"
    assert groups.number == len(speakers)


def test_blocks_stay_few():
    assert len(set(intervals.group([None] * 5000).blocks)) == intervals.MAX_BLOCKS


def test_bootstrap_agrees_with_scipys_on_single_utterances():
    values = np.random.default_rng(1).gamma(2.0, size=200)
    low, high = intervals.bootstrap_mean(values, np.arange(200))
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", random_state=3
    ).confidence_interval
    assert low == pytest.approx(theirs.low, abs=0.03)
    assert high == pytest.approx(theirs.high, abs=0.03)


def test_bootstrap_equals_a_slow_one_that_draws_whole_speakers():
    rng = np.random.default_rng(0)
    speakers = rng.integers(0, 12, size=90)
    values = rng.normal(size=90) + speakers  # speakers differ more than their utterances
    low, high = intervals.bootstrap_mean(values, speakers)
    means = []
    for _ in range(4000):
        drawn = rng.choice(np.unique(speakers), size=len(np.unique(speakers)))
        means.append(np.concatenate([values[speakers == s] for s in drawn]).mean())
    expected = np.percentile(means, [2.5, 97.5])
    assert [low, high] == pytest.approx(expected.tolist(), abs=0.2)
    naive = intervals.bootstrap_mean(values, np.arange(90))
    assert high - low > 1.5 * (naive[1] - naive[0])


def test_bootstrap_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        low, high = intervals.bootstrap_mean(rng.normal(size=40), np.arange(40))
        hits += low <= 0 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_bootstrap_repeats_and_needs_three_groups():
    values, groups = np.arange(10.0), np.arange(10)
    assert intervals.bootstrap_mean(values, groups) == intervals.bootstrap_mean(values, groups)
    assert intervals.bootstrap_mean(values, groups % 2) is None
    assert intervals.bootstrap_mean(values[:0], groups[:0]) is None


def test_jackknife_of_a_mean_is_the_textbook_standard_error():
    values = np.random.default_rng(0).integers(0, 100, size=30)
    counts = np.stack([values, np.ones_like(values)], axis=1)
    corrected, interval = intervals.jackknife(counts, lambda c: c[0] / c[1])
    mean, error = values.mean(), stats.sem(values)
    assert corrected == pytest.approx(mean)
    reach = stats.t.ppf(0.975, 29) * error
    assert interval == pytest.approx((mean - reach, mean + reach), rel=1e-3)


def test_jackknife_removes_most_of_the_bias_of_plug_in_entropy():
    rng = np.random.default_rng(0)
    counts = np.stack([rng.multinomial(20, np.full(64, 1 / 64)) for _ in range(15)])

    def entropy(c):
        return stats.entropy(c, base=2)

    corrected, interval = intervals.jackknife(counts, entropy)
    plug_in = entropy(counts.sum(axis=0))
    assert plug_in < 6
    assert abs(corrected - 6) < abs(plug_in - 6) / 2
    assert interval[0] < plug_in < interval[1]


def test_jackknife_needs_three_groups():
    assert intervals.jackknife(np.ones((2, 4), np.int64), lambda c: float(c.sum())) == (8.0, None)


@pytest.mark.parametrize("freedom", [3, 4, 10, 39, 1000])
def test_student_t_equals_scipys(freedom):
    assert intervals.student_t(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=0.01)
