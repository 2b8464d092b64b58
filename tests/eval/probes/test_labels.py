import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.errors import ConfigError
from audiovq.eval.probes import label_probe, labels
from audiovq.eval.probes._dtw import dtw_distances
from audiovq.eval.probes.labels import unit_distances
from tests.eval.test_edit import slow

WORDS = {"no": [1, 2, 3], "on": [3, 2, 1], "one": [4, 5, 6]}


def said(noise, *, speakers=5, each=6, seed=0):
    """Words as runs of units, of which a share is replaced by any of sixteen."""
    rng = np.random.default_rng(seed)
    units, words, names = [], [], []
    for s in range(speakers):
        for word, phones in WORDS.items():
            for _ in range(each):
                row = np.repeat(phones, rng.integers(2, 6, 3))
                wrong = rng.random(len(row)) < noise
                row[wrong] = rng.integers(0, 16, int(wrong.sum()))
                units.append(row)
                words.append(word)
                names.append(f"s{s}")
    return units, words, names


def test_clean_words_are_recognised_also_where_only_the_order_tells():
    probe = label_probe(*said(0.1), sizes=(16,))
    for each in (probe.linear, probe.nearest):
        assert each.accuracy.value > 0.95
        assert each.majority == pytest.approx(1 / 3)
        assert each.permuted.value < 0.55
        assert list(each.by_split) == ["s0", "s1", "s2", "s3", "s4"]
        assert (each.labels, each.utterances, each.left_out) == (3, 90, 0)


def test_noise_is_at_chance():
    probe = label_probe(*said(1.0, each=12), sizes=(16,))
    for each in (probe.linear, probe.nearest):
        assert 0.2 < each.accuracy.value < 0.47


def test_what_only_the_same_speaker_shares_does_not_help():
    # each speaker has units of their own for every word: perfect within, useless across speakers
    units, words, names = said(0.0)
    place = {n: i for i, n in enumerate(dict.fromkeys(names))}
    own = [u + 16 * place[n] for u, n in zip(units, names, strict=True)]
    probe = label_probe(own, words, names, sizes=(96,))
    assert probe.linear.accuracy.value < 0.6
    assert probe.nearest.accuracy.value < 0.6


def test_accuracy_is_the_mean_over_speakers_whatever_their_numbers():
    units, words, names = said(0.6)
    keep = [i for i, n in enumerate(names) if n != "s0" or i % 3 == 0]
    probe = label_probe(*([v[i] for i in keep] for v in (units, words, names)), sizes=(16,))
    for each in (probe.linear, probe.nearest):
        assert each.accuracy.value == pytest.approx(np.mean(list(each.by_split.values())))
        assert each.range == (min(each.by_split.values()), max(each.by_split.values()))


def test_the_ceiling_follows_the_same_protocol():
    units, words, names = said(1.0)
    clean = said(0.0)[0]
    rng = np.random.default_rng(0)
    table = rng.normal(size=(16, 4)) * [1, 10, 100, 1000]
    frames = [table[u] + rng.normal(size=(len(u), 4)) * 0.1 for u in clean]
    probe = label_probe(units, words, names, sizes=(16,), mfcc=frames.__getitem__)
    assert probe.linear.mfcc.value > 0.9
    assert probe.nearest.mfcc.value > 0.9
    assert probe.linear.accuracy.value < 0.5


def test_it_repeats():
    assert label_probe(*said(0.5), sizes=(16,)) == label_probe(*said(0.5), sizes=(16,))


def test_labels_of_one_speaker_and_unknown_ones_are_left_out():
    units, words, names = said(0.1)
    words[0], names[1], words[2] = None, None, "only s0 says this"
    probe = label_probe(units, words, names, sizes=(16,))
    assert probe.linear.labels == 3
    assert probe.linear.left_out == 3


def test_many_speakers_are_left_out_in_groups_and_many_utterances_drawn(monkeypatch):
    monkeypatch.setattr(labels, "MOST_FOLDS", 2)
    monkeypatch.setattr(labels, "MOST_LINEAR", 80)
    monkeypatch.setattr(labels, "MOST_NEAREST", 60)
    probe = label_probe(*said(0.1), sizes=(16,))
    assert len(probe.linear.by_split) == 5
    assert probe.linear.utterances == 80
    assert probe.nearest.utterances == 60
    assert probe.nearest.left_out == 30
    assert probe.nearest.accuracy.value > 0.9


@pytest.mark.parametrize("names", [["a"] * 90, [None] * 90])
def test_one_speaker_gives_a_reason(names):
    units, words, _ = said(0.1)
    probe = label_probe(units, words, names, sizes=(16,))
    assert probe.linear.accuracy is None
    assert probe.nearest.accuracy is None
    assert "it takes 2 labels" in probe.linear.reason


def test_a_misfit_is_refused():
    units, words, names = said(0.1)
    with pytest.raises(ConfigError, match="89 labels given for the units of 90"):
        label_probe(units, words[1:], names, sizes=(16,))


def test_distances_of_units_are_those_of_runs_over_the_longer_averaged_over_rows():
    rows = [np.array([[1, 1, 2], [3, 4, 4]]), np.array([[1, 2, 5, 5], [7, 7, 7, 7]])]
    first = slow([1, 2], [1, 2, 5]) / 3
    second = slow([3, 4], [7]) / 2
    expected = (first + second) / 2
    assert unit_distances(rows) == pytest.approx(np.array([[0, expected], [expected, 0]]))


def slow_dtw(x, y):
    table = np.full((len(x) + 1, len(y) + 1), np.inf)
    table[0, 0] = 0
    for i in range(len(x)):
        for j in range(len(y)):
            before = min(table[i, j], table[i, j + 1], table[i + 1, j])
            table[i + 1, j + 1] = before + np.linalg.norm(x[i] - y[j])
    return table[-1, -1] / (len(x) + len(y))


@settings(max_examples=30)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=5), st.integers(0, 99))
def test_warped_distances_equal_the_slow_table(lengths, seed):
    rng = np.random.default_rng(seed)
    items = [rng.normal(size=(n, 3)) for n in lengths]
    expected = [[slow_dtw(a, b) if a is not b else 0 for b in items] for a in items]
    assert dtw_distances(items) == pytest.approx(np.array(expected), abs=1e-3)
