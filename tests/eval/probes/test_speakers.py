import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from audiovq.errors import ConfigError
from audiovq.eval.probes import _classifier, speaker_probe
from audiovq.eval.probes._features import cut, histograms, moments, scaled
from audiovq.eval.probes._splits import split
from tests.eval.probes.made import SIZE, corpus


def test_a_planted_leak_is_found():
    units, speakers = corpus(leak=0.5)
    probe = speaker_probe(units, speakers, sizes=(SIZE,))
    assert probe.accuracy.value > 0.95
    assert probe.accuracy.low <= probe.accuracy.value <= probe.accuracy.high
    assert probe.permuted.value < 0.35
    assert (probe.labels, probe.utterances, probe.left_out) == (6, 72, 0)
    assert len(probe.by_split) == 10
    assert probe.range[0] <= probe.accuracy.value <= probe.range[1]


def test_units_that_say_nothing_are_at_chance():
    probes = [
        speaker_probe(*corpus(leak=0.0, each=20, seed=seed), sizes=(SIZE,), repeats=4)
        for seed in range(12)
    ]
    assert np.mean([p.accuracy.value for p in probes]) == pytest.approx(1 / 6, abs=0.03)
    assert np.mean([p.permuted.value for p in probes]) == pytest.approx(1 / 6, abs=0.03)
    assert probes[0].majority == pytest.approx(1 / 6)


def test_constant_units_are_at_chance():
    units, speakers = [np.zeros(50, np.int64)] * 48, [f"s{i % 4}" for i in range(48)]
    probe = speaker_probe(units, speakers, sizes=(8,))
    assert probe.accuracy.value == pytest.approx(0.25)


def test_a_leak_in_the_second_codebook_is_found_and_order_is_not_needed():
    units, speakers = corpus(leak=0.5)
    rng = np.random.default_rng(1)
    both = [np.stack([rng.integers(0, 4, len(u)), rng.permutation(u)]) for u in units]
    assert speaker_probe(both, speakers, sizes=(4, SIZE)).accuracy.value > 0.95


def test_the_ceiling_is_found_on_the_same_splits():
    units, speakers = corpus(leak=0.0)
    voice = {s: i for i, s in enumerate(dict.fromkeys(speakers))}
    rng = np.random.default_rng(0)
    frames = [rng.normal(voice[s], 1, (30, 3)) * [1, 10, 100] for s in speakers]
    probe = speaker_probe(units, speakers, sizes=(SIZE,), mfcc=frames.__getitem__)
    assert probe.mfcc.value > 0.95
    assert probe.accuracy.value < 0.5


def test_it_repeats_and_depends_on_the_seed():
    units, speakers = corpus(leak=0.1)
    first, again, other = (speaker_probe(units, speakers, sizes=(SIZE,), seed=s) for s in (0, 0, 1))
    assert first == again
    assert first.by_split != other.by_split


def test_too_few_give_a_reason_and_no_figure():
    units, speakers = corpus(leak=0.5, each=3)
    probe = speaker_probe(units, speakers, sizes=(SIZE,))
    assert probe.accuracy is None
    assert "4 utterances" in probe.reason
    assert probe.range is None
    units, speakers = corpus(leak=0.5, speakers=2)
    alike = speaker_probe(units, speakers, sizes=(SIZE,), texts=["the same"] * 24)
    assert alike.accuracy is None
    assert "too much alike" in alike.reason


def test_unknown_speakers_and_those_over_the_limit_are_left_out_and_counted():
    units, speakers = corpus(leak=0.5)
    speakers[:3] = [None] * 3
    units[3] = units[3][:0]
    probe = speaker_probe(units, speakers, sizes=(SIZE,), most_utterances=5, most_speakers=4)
    assert (probe.labels, probe.utterances, probe.left_out) == (4, 20, 52)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"speakers": ["a"]}, "1 speakers given for the units of 72 utterances"),
        ({"texts": ["a", "b"]}, "2 texts given"),
        ({"sizes": (8,)}, "which codebooks of (8,) do not have"),
        ({"sizes": (SIZE, SIZE)}, "integers of shape (2, T)"),
        ({"units": [np.zeros(5)] * 72}, "float64 of shape (5,)"),
        ({"units": [np.zeros((1, 1, 5), np.int64)] * 72}, "of shape (1, 1, 5)"),
    ],
)
def test_a_misfit_is_refused_in_one_line(change, message):
    units, speakers = corpus(leak=0.5)
    values = {"units": units, "speakers": speakers, "sizes": (SIZE,), **change}
    with pytest.raises(ConfigError) as error:
        speaker_probe(values.pop("units"), values.pop("speakers"), **values)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(ConfigError, match=r"audiovq\[units\]"):
        speaker_probe(*corpus(leak=0.5), sizes=(SIZE,))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "y", "z", None]))))
def test_splits_keep_sentences_whole_and_a_part_of_every_speaker(utterances):
    speakers, texts = [u[0] for u in utterances], [u[1] for u in utterances]
    tested = split(speakers, texts, np.random.default_rng(0))
    both = {t for t, is_test in zip(texts, tested, strict=True) if t and is_test}
    assert both.isdisjoint(t for t, is_test in zip(texts, tested, strict=True) if not is_test)
    for s in set(speakers):
        of = [bool(t) for t, name in zip(tested, speakers, strict=True) if name == s]
        assert sum(of) <= max(1, round(len(of) / 4))
        assert not all(of)


def test_splits_of_single_sentences_take_a_quarter_and_shared_ones_are_taken_too():
    speakers = [s for s in "abcdefgh" for _ in range(10)]
    texts = [f"sa{i}" if i < 2 else None for _ in range(8) for i in range(10)]  # as in TIMIT
    drawn = [split(speakers, texts, np.random.default_rng(n)) for n in range(50)]
    assert {int(d.sum()) for d in drawn} == {16}
    assert 0.1 < np.mean([d[0] for d in drawn]) < 0.35


def test_the_classifier_equals_scikit_learns_on_axes_as_they_are():
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 4
    train, test = rng.normal(size=(40, 200)), rng.normal(size=(30, 200))
    train[:, 0] += 3 * (labels == 0)
    scale = np.sqrt(((train - train.mean(0)) ** 2).sum(1).mean())
    plain = make_pipeline(
        StandardScaler(with_std=False), LogisticRegression(C=10 / scale**2, max_iter=5000, tol=1e-8)
    )
    theirs = plain.fit(train, labels).predict(test)
    assert (_classifier.predict(train, labels, test) == theirs).mean() > 0.95
    one = np.full(40, 7)
    assert (_classifier.predict(train, one, test) == 7).all()


def test_histograms_are_roots_of_shares_of_the_units_that_occur():
    rows = [np.array([[0, 0, 5, 0]]), np.array([[5, 5, 5, 9]])]
    expected = np.sqrt([[0.75, 0.25, 0], [0, 0.75, 0.25]])
    assert histograms(rows, (10,)) == pytest.approx(expected)
    halves = np.sqrt([[1, 0, 0, 0.5, 0.5, 0], [0, 1, 0, 0, 0.5, 0.5]])
    assert histograms(rows, (10,), parts=2) == pytest.approx(halves)
    two = histograms([np.array([[0, 1], [1, 1]])], (2, 2))  # one of unit 0, unit 1, second row's 1
    assert two == pytest.approx(np.sqrt([[0.5, 0.5, 1]]))


@given(st.integers(1, 30), st.integers(1, 5))
def test_parts_cover_everything_and_are_never_empty(size, parts):
    x = np.arange(size)
    pieces = cut(x, parts)
    assert len(pieces) == parts
    assert all(len(p) for p in pieces)
    assert set(np.concatenate(pieces)) == set(x)


def test_moments_and_scaling_by_the_deviation_of_all_frames():
    rng = np.random.default_rng(0)
    items = [rng.normal(5, [1, 20], (n, 2)) for n in (30, 50, 7)]
    frames = scaled(items.__getitem__, [0, 2])
    whole = np.vstack([items[0], items[2]])
    assert frames[1] == pytest.approx(items[2] / whole.std(0), rel=1e-5)
    x = items[0]
    halves = np.stack([x[:15].mean(0), x[:15].std(0), x[15:].mean(0), x[15:].std(0)])
    found = moments(items.__getitem__, [0, 2], parts=2)
    assert found[0] == pytest.approx((halves / whole.std(0)).ravel())
