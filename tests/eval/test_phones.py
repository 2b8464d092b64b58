import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats
from sklearn.metrics import mutual_info_score, normalized_mutual_info_score

from audiovq.eval import phones
from audiovq.eval.joint import join
from audiovq.eval.phones import leave_one_out, majority
from tests.eval.corpora import corpus, values

tables = arrays.arrays(
    np.int64, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.integers(0, 9)
).filter(lambda c: c.any())


def pairs(counts):
    """A phone and a unit for every count."""
    cells = [(i, j) for i, j in np.ndindex(*counts.shape) for _ in range(counts[i, j])]
    return [i for i, _ in cells], [j for _, j in cells]


@settings(max_examples=100, deadline=None)
@given(tables)
def test_information_equals_scikit_learns_and_scipys(counts):
    i, j = pairs(counts)
    bits = mutual_info_score(i, j) / math.log(2)
    assert phones.mutual_information(counts) == pytest.approx(bits, abs=1e-9)
    whole = stats.entropy(counts.sum(axis=1), base=2)
    expected = bits / whole if whole > 0 else 0.0
    assert phones.pnmi(counts) == pytest.approx(expected, abs=1e-9)
    assert phones.entropy(counts) == pytest.approx(stats.entropy(counts.ravel(), base=2), abs=1e-9)


def test_pnmi_is_not_another_normalisation():
    counts = np.array([[4, 1, 0], [0, 2, 3]])
    assert phones.pnmi(counts) != pytest.approx(normalized_mutual_info_score(*pairs(counts)))


@settings(max_examples=100, deadline=None)
@given(tables)
def test_purities_and_matching_equal_slow_ones(counts):
    from itertools import permutations

    total = counts.sum()
    assert phones.phone_purity(counts) == sum(max(column) for column in counts.T) / total
    assert phones.cluster_purity(counts) == sum(max(row) for row in counts) / total
    padded = np.zeros((max(counts.shape), max(counts.shape)), int)
    padded[: counts.shape[0], : counts.shape[1]] = counts
    n = range(len(padded))
    best = max(sum(padded[i, p[i]] for i in n) for p in permutations(n))
    assert phones.one_to_one(counts) == best / total


def test_purity_by_hand():
    c = corpus([("a", "ssnn..", "001122")])
    found = values(phones.evaluate(c)[0])
    # unit 0: ss, unit 1: n., hmm: u = 0 0 1 1 2 2 against s s n n sil sil
    assert found["phone_purity"] == 1.0
    assert found["pnmi"] == pytest.approx(1.0)
    c = corpus([("a", "sssnn.", "001110")])  # unit 0: s s sil; unit 1: s n n
    found = values(phones.evaluate(c)[0])
    assert found["phone_purity"] == pytest.approx((2 + 2) / 6)
    assert found["cluster_purity"] == pytest.approx((2 + 2 + 1) / 6)
    assert found["most_frequent_phone"] == pytest.approx(3 / 6)
    assert found["most_frequent_phone_no_silence"] == pytest.approx(3 / 5)
    assert found["phone_purity_no_silence"] == pytest.approx((2 + 2) / 5)
    assert found["one_to_one_accuracy"] == pytest.approx(4 / 6)


def test_majority_names_unseen_units_by_the_commonest_phone_and_breaks_ties_low():
    counts = np.array([[1, 0, 0], [1, 0, 3]])
    assert majority(counts).tolist() == [0, 1, 1]


def random_corpus(seed, speakers=4, frames=60):
    rng = np.random.default_rng(seed)
    made = []
    for i in range(speakers * 2):
        said = "".join(rng.choice(list("snia.-"), frames))
        units = "".join(str((ord(p) + rng.integers(0, 3)) % 8) for p in said)
        made.append((f"p{i % speakers}", said, units))
    return made


@pytest.mark.parametrize("seed", range(5))
def test_leave_one_speaker_out_equals_a_slow_reference(seed):
    made = random_corpus(seed)
    frames = [
        (speaker, p, u)
        for speaker, said, units in made
        for p, u in zip(said, units, strict=True)
        if p != "-"
    ]
    order = {"sil": "."}
    names = [order.get(n, n) for n in corpus(made).phones]
    found = leave_one_out(join(corpus(made)).labelled())
    for out in {s for s, _, _ in made}:
        others = [(p, u) for s, p, u in frames if s != out]
        right = 0
        own = [(p, u) for s, p, u in frames if s == out]
        for p, u in own:
            same = [q for q, v in others if v == u] or [q for q, _ in others]
            votes = [same.count(n) for n in names]
            right += names[votes.index(max(votes))] == p
        assert found[out] == pytest.approx(right / len(own))


def test_accuracy_on_the_frames_it_was_fitted_on_is_the_purity():
    counts = join(corpus(random_corpus(7))).labelled().counts()
    named = majority(counts)
    accuracy = counts[named, np.arange(len(named))].sum() / counts.sum()
    assert accuracy == phones.phone_purity(counts)


def test_a_speaker_of_other_units_is_not_recognised_by_fitting():
    c = corpus([("a", "ssnn", "0011"), ("b", "ssnn", "2233"), ("c", "ssnn", "4455")])
    found = values(phones.evaluate(c)[0])
    assert found["phone_purity"] == 1.0
    assert found["phone_accuracy"] == 0.5  # all unseen: the commonest phone, half of the frames


def test_without_silence_nothing_of_it_is_fitted_or_scored():
    made = [(s, "ss.n", "0001") for s in "abc"]
    figures, notes = phones.evaluate(corpus(made))
    found = values(figures)
    assert found["phone_accuracy"] == 3 / 4
    assert found["phone_accuracy_no_silence"] == 1.0
    assert notes == []
    plain, said = phones.evaluate(corpus([(s, "ssnn", "0011") for s in "abc"]))
    assert "phone_accuracy_no_silence" not in values(plain)
    assert "silent" in said[0]


def test_shifting_random_units_changes_nothing_and_shifting_good_ones_ruins_them():
    rng = np.random.default_rng(0)
    said = ["".join(np.repeat(rng.choice(list("snia."), 40), 5)) for _ in range(6)]
    good = ["".join(str("snia.".index(p)) for p in s) for s in said]
    random = ["".join(map(str, rng.integers(0, 8, len(s)))) for s in said]
    speakers = [f"p{i}" for i in range(6)]
    best = values(phones.evaluate(corpus(list(zip(speakers, said, good, strict=True))))[0])
    assert best["pnmi"] == pytest.approx(1.0)
    assert best["pnmi_corrected"] == pytest.approx(1.0)
    assert best["pnmi_shifted"] < 0.1
    worst = values(phones.evaluate(corpus(list(zip(speakers, said, random, strict=True))))[0])
    assert abs(worst["pnmi_corrected"]) < 0.02
    assert abs(worst["phone_purity_corrected"]) < 0.05
    assert abs(worst["phone_accuracy"] - worst["phone_accuracy_shifted"]) < 0.08


def test_correction_is_what_it_says_and_draws_are_seeded():
    figures, _ = phones.evaluate(corpus(random_corpus(3)), seed=5)
    found = values(figures)
    for name in ("pnmi", "phone_purity"):
        expected = (found[name] - found[f"{name}_shifted"]) / (1 - found[f"{name}_shifted"])
        assert found[f"{name}_corrected"] == pytest.approx(expected)
    assert values(phones.evaluate(corpus(random_corpus(3)), seed=5)[0]) == found
    assert values(phones.evaluate(corpus(random_corpus(3)), seed=6)[0]) != found
    shifted = next(f for f in figures if f.name == "pnmi_shifted")
    assert shifted.count == 20
    assert shifted.lowest <= shifted.value <= shifted.highest


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 5000), st.sampled_from([0.01, 0.02, 0.04]), st.integers(0, 9))
def test_shifts_stay_a_second_away_where_there_is_room(frames, hop, seed):
    apart = min(round(1 / hop), frames // 4)
    for n in phones.shifts(frames, hop, seed):
        assert apart <= n <= frames - apart


def test_intervals_hold_the_value_and_say_how_they_were_made():
    made = random_corpus(1, speakers=6)
    for f in phones.evaluate(corpus(made))[0]:
        if f.low is not None:
            assert f.low <= f.value <= f.high
            assert f.interval
    found = {f.name: f for f in phones.evaluate(corpus(made))[0]}
    assert found["pnmi"].interval == "jackknife over 6 speakers"
    assert found["phone_accuracy"].interval == "bootstrap over 6 speakers"
    assert found["phone_accuracy"].lowest <= found["phone_accuracy"].value


def test_jackknife_of_purity_equals_leaving_each_speaker_out_by_hand():
    made = random_corpus(2, speakers=6)
    figure = next(f for f in phones.evaluate(corpus(made))[0] if f.name == "phone_purity")
    without = []
    for out in {s for s, _, _ in made}:
        rest = corpus([m for m in made if m[0] != out])
        without.append(phones.phone_purity(join(rest).labelled().counts()))
    spread = np.sqrt(5 / 6 * np.sum((np.array(without) - np.mean(without)) ** 2))
    reach = stats.t.ppf(0.975, 5) * spread
    assert figure.high - figure.value == pytest.approx(reach, rel=0.01)


def test_one_speaker_and_no_labels_are_said():
    figures, notes = phones.evaluate(corpus([("a", "sn", "01")]))
    assert "phone_accuracy" not in values(figures)
    assert "two speakers" in notes[-1]
    made = [("a", "-s", "01")]
    empty = corpus(made)
    for u in empty.utterances:
        u.labels[:] = -1
    assert phones.evaluate(empty) == ([], ["no frame has a phone"])
