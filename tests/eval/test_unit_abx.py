import numpy as np
import pytest

from audiovq.eval import abx, unit_abx
from audiovq.eval.labelled import Corpus, label
from tests.eval.corpora import coded, manifest, record, values


def made(names, seed=0, labels=("h#", "s", "n", "iy", "bcl", "q")) -> Corpus:
    """Utterances of 12 phones of three frames, units naming phones with some errors."""
    rng = np.random.default_rng(seed)
    records, units = [], {}
    for name in names:
        said = rng.integers(0, len(labels), 12)
        rows = [(30 * i, 30 * i + 30, labels[p]) for i, p in enumerate(said)]
        records.append(record(name, rows, speaker=name[:2]))
        right = np.repeat(said, 3)
        units[name] = np.where(rng.random(36) < 0.3, rng.integers(0, 8, 36), right)
    return label(coded(units, {r.id: r.num_samples for r in records}), manifest(records))


NAMES = [f"p{i}-{s}" for i in range(4) for s in ("sa1", "sx2", "si3")]


def test_figures_are_those_of_abx_with_labels_folded():
    c = made(NAMES)
    figures, notes = unit_abx.evaluate(c)
    found = values(figures)
    own = [
        abx.Utterance(u.id, u.speaker, u.id[3:], u.hop, phones, u.units)
        for u in c.utterances
        for phones in [
            tuple((a, b, {"h#": "sil", "bcl": "sil", "q": None}.get(p, p)) for a, b, p in u.phones)
        ]
    ]
    for mode in ("within", "across"):
        expected = abx.evaluate(own, task="phoneme", mode=mode).error
        assert found[f"abx/phoneme/{mode}/identity"] == expected
        without = abx.evaluate(own, task="phoneme", mode=mode, exclude_sentences="sa1").error
        assert found[f"abx/phoneme/{mode}/identity/without SA"] == without
    assert not any("euclidean" in key for key in found)
    assert "ABX cells, triples, pairs warped: " in notes[-1]


def test_vectors_add_distances_of_the_first_row_alone():
    from dataclasses import replace

    c = made(NAMES)
    vectors = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    with_vectors = replace(c, coded=replace(c.coded, vectors=vectors))
    found = values(unit_abx.evaluate(with_vectors)[0])
    assert {k.split("/")[3] for k in found} == {"identity", "euclidean", "angular"}
    other = replace(with_vectors, codebook=1)  # its units are still row 0: enough for the choice
    assert {k.split("/")[3] for k in values(unit_abx.evaluate(
        replace(other, utterances=c.utterances))[0])} == {"identity"}  # fmt: skip


def test_sentences_named_sa1_elsewhere_mean_nothing():
    found = values(unit_abx.evaluate(made(NAMES, labels=("sil", "s", "n", "i")))[0])
    assert not any("without SA" in key for key in found)


def test_much_speech_is_drawn_by_speaker_and_said(monkeypatch):
    c = made(NAMES)
    items = unit_abx.utterances(c)
    few = unit_abx.drawn(items, 72, seed=1)
    assert len(few) == 6
    assert len({u.speaker for u in few}) == 2
    assert unit_abx.drawn(items, 72, seed=1) == few
    assert {u.speaker for s in range(9) for u in unit_abx.drawn(items, 36, s)} == {
        "p0", "p1", "p2", "p3",
    }  # fmt: skip
    assert len(unit_abx.drawn(items, 1, seed=0)) == 1  # never nothing
    assert unit_abx.drawn(items, 10**6, seed=0) == items
    monkeypatch.setitem(unit_abx.LIMITS, "phoneme", 72)
    notes = unit_abx.evaluate(c)[1]
    assert any(n.startswith("phoneme ABX: on 6 of 12 utterances") for n in notes)


def test_nothing_to_compare_is_said():
    lonely = made(["p0-x"], labels=("s", "h#"))
    figures, notes = unit_abx.evaluate(lonely)
    assert figures == []
    assert any("no cells" in n for n in notes)
    records = [record("a", [(0, 30, "s")], speaker=None)]
    nobody = label(coded({"a": [0, 0, 0]}, {"a": 30}), manifest(records))
    assert unit_abx.evaluate(nobody) == ([], ["ABX needs aligned utterances of known speakers"])


@pytest.mark.parametrize(
    ("name", "sentence"), [("dr1-fvmh0-sa1", "sa1"), ("a/b/sx7", "sx7"), ("x", "x")]
)
def test_sentence(name, sentence):
    c = made(["p0-x"]).utterances[0]
    from dataclasses import replace

    assert unit_abx.sentence(replace(c, id=name)) == sentence
