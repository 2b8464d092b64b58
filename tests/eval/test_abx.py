"""ABX against hand-made cases and against one triple at a time in plain Python."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.errors import ConfigError, ManifestError
from audiovq.eval import _abx_run, dtw, frame_distance
from audiovq.eval._abx_items import collect
from audiovq.eval.abx import CHANCE, Utterance, evaluate, evaluate_all
from tests.eval.plain_abx import plain_abx

HOP = 0.02


def utterance(name, speaker, phones, frames, sentence=None, hop=HOP):
    """An utterance of phones (label, frames)."""
    ends = np.cumsum([n for _, n in phones]) * hop
    starts = [0.0, *ends[:-1].tolist()]
    labels = [label for label, _ in phones]
    spans = tuple(zip(starts, ends.tolist(), labels, strict=True))
    return Utterance(name, speaker, sentence, hop, spans, np.asarray(frames))


def one_phone_each(ids, speaker="s", phones="aab"):
    """An utterance of one-frame phones."""
    return utterance(speaker, speaker, [(p, 1) for p in phones], ids)


@st.composite
def corpora(draw):
    """A few speakers, few phones, any borders, ids with many ties."""
    utterances = []
    for i in range(draw(st.integers(1, 4))):
        frames = draw(st.integers(4, 24))
        cuts = sorted(draw(st.lists(st.integers(0, frames * 20), min_size=1, max_size=9)))
        labels = draw(
            st.lists(
                st.sampled_from(["a", "b", "b", "c", "sil", None]),
                min_size=len(cuts),
                max_size=len(cuts),
            )
        )
        spans = zip([0, *cuts], cuts, labels, strict=False)
        phones = tuple((a / 1000, b / 1000, p) for a, b, p in spans)
        ids = draw(st.lists(st.integers(0, 2), min_size=frames, max_size=frames))
        speaker = draw(st.sampled_from("xyz"))
        utterances.append((f"u{i}", speaker, None, HOP, phones, np.array(ids)))
    return utterances


VECTORS = np.array([[1.0, 0.0, 2.0], [0.5, -1.0, 0.3], [0.1, 0.2, -0.7]])


def by_plain_python(utterances, task, mode, name):
    """The plain figures; frames are compared by the rounded distance, so that ties are the same."""
    frames, table = frame_distance.number_frames(
        [np.arange(3)], None if name == "identity" else VECTORS
    )
    metric = frame_distance.frame_distance(name, table)
    index = frames[:, None]
    between = metric.pairwise(index, index)[..., 0].tolist()
    return plain_abx(utterances, task, mode, lambda i, j: between[i][j])


@settings(max_examples=150, deadline=None)
@given(
    corpora(),
    st.sampled_from(["triphone", "phoneme"]),
    st.sampled_from(["within", "across"]),
    st.sampled_from(["identity", "euclidean", "angular"]),
)
def test_equals_one_triple_at_a_time(utterances, task, mode, name):
    utterances = [Utterance(*u) for u in utterances]
    error, cells, triples, pairs = by_plain_python(utterances, task, mode, name)
    vectors = None if name == "identity" else VECTORS
    options = {"task": task, "mode": mode, "distance": name, "vectors": vectors}
    if error is None:
        with pytest.raises(ManifestError, match="no cells"):
            evaluate(utterances, **options)
        return
    score = evaluate(utterances, **options)
    assert score.error == pytest.approx(error, abs=1e-12)
    assert (score.cells, score.triples, score.pairs) == (cells, triples, pairs)


def random_corpus(units, speakers=4, utterances=6, seed=0):
    """Utterances whose frames are `units(rng, phone)`."""
    rng = np.random.default_rng(seed)
    corpus = []
    for i in range(utterances * speakers):
        labels = "".join(rng.choice(list("abcd"), 12))
        labels = re.sub(r"(.)\1+", r"\1", labels)  # no phone follows itself
        phones = [(p, int(rng.integers(1, 4))) for p in labels]
        frames = [units(rng, p) for p, n in phones for _ in range(n)]
        corpus.append(utterance(f"u{i}", f"s{i % speakers}", phones, frames, f"{i // speakers}"))
    return corpus


def test_continuous_vectors_equal_plain_python():
    corpus = random_corpus(lambda rng, p: rng.normal(size=4) + ord(p), 3, 3)
    for name, far in (
        ("euclidean", math.dist),
        ("angular", lambda u, v: math.acos(np.dot(u, v) / math.hypot(*u) / math.hypot(*v))),
    ):
        for mode in ("within", "across"):
            expected = plain_abx(corpus, "phoneme", mode, far)
            score = evaluate(corpus, task="phoneme", mode=mode, distance=name)
            assert score.error == pytest.approx(expected[0], abs=1e-9)
            assert (score.cells, score.triples, score.pairs) == expected[1:]


@pytest.mark.parametrize("mode", ["within", "across"])
def test_x_is_the_row_of_the_cost_matrix(mode):
    """Among items that are both A and X, the earlier is: as in fastabx, to the last tie."""
    rng = np.random.default_rng(2)
    corpus = [
        utterance(f"u{i}", f"s{i % 2}", [(p, int(rng.integers(4, 10))) for p in "abc"], ids)
        for i, ids in enumerate(rng.integers(0, 3, (10, 30)))
    ]
    plain = plain_abx(corpus, "phoneme", mode, lambda x, y: float(x != y))
    other = plain_abx(corpus[::-1], "phoneme", mode, lambda x, y: float(x != y))
    assert evaluate(corpus, task="phoneme", mode=mode).error == pytest.approx(plain[0], abs=1e-12)
    assert (other[0] == pytest.approx(plain[0], abs=1e-12)) == (mode == "across")


@pytest.mark.parametrize(
    ("ids", "error"),
    [([0, 0, 1], 0.0), ([0, 1, 1], 0.75), ([0, 1, 0], 0.75), ([0, 0, 0], 0.5), ([0, 1, 2], 0.5)],
)
def test_by_hand_within(ids, error):
    # a, a', b: X is each a in turn; [0, 1, 1]: X = a: all at 1, a tie; X = a': b is nearer
    score = evaluate([one_phone_each(ids)], task="phoneme")
    assert score.error == error
    assert (score.cells, score.triples, score.pairs) == (1, 2, 3)
    assert [(p.a, p.b) for p in score.by_pair] == [("a", "b")]


def test_by_hand_across():
    # A and B from s or t, X of A's phone from the other
    corpus = [one_phone_each([0, 1], "s", "ab"), one_phone_each([0, 0], "t", "ab")]
    # A = a: from s, X = 0: A at 0, B at 1: right; from t, X = 0: A and B at 0: tie
    # A = b: from s, X = 0: A at 1, B at 0: wrong; from t, X = 1: both at 1: tie
    score = evaluate(corpus, task="phoneme", mode="across")
    assert {(p.a, p.b): p.error for p in score.by_pair} == {("b", "a"): 0.75, ("a", "b"): 0.25}
    assert score.by_pair[0].a == "b"  # worst first
    assert (score.error, score.cells, score.triples, score.pairs) == (0.5, 4, 4, 4)
    assert (score.speakers, score.low, score.interval) == (2, None, "")


def test_means_go_over_contexts_then_speakers_then_pairs():
    # speaker s: contexts x_x (error 0) and y_y (error 1/2); speaker t: context x_x (error 1/2)
    def phones(context, middle):
        return [(context, 1), (middle, 1), (context, 1)]

    plan = [("s", "x", (0, 0, 1)), ("s", "y", (0, 0, 0)), ("t", "x", (0, 0, 0))]
    corpus = [
        utterance(f"{s}{c}{i}", s, phones(c, m), [9, unit, 9])
        for s, c, units in plan
        for i, (m, unit) in enumerate(zip("aab", units, strict=True))
    ]
    score = evaluate(corpus)
    assert score.error == pytest.approx(((0 + 0.5) / 2 + 0.5) / 2)
    assert (score.cells, score.triples) == (3, 6)


def test_perfect_units_have_no_error():
    corpus = random_corpus(lambda rng, p: ord(p))
    for task in ("triphone", "phoneme"):
        for mode in ("within", "across"):
            score = evaluate(corpus, task=task, mode=mode)
            assert score.error == 0
            assert (score.low, score.high) == (0, 0)
            assert score.interval == "jackknife over 4 speakers"


def test_random_units_are_at_chance():
    corpus = random_corpus(lambda rng, p: int(rng.integers(50)), 8, 12)
    for mode in ("within", "across"):
        score = evaluate(corpus, task="phoneme", mode=mode)
        assert score.error == pytest.approx(CHANCE, abs=0.03)
        assert score.low < score.error < score.high


def test_silence_is_context_but_no_phone():
    phones = [("sil", 2), ("a", 2), ("sil", 2), ("b", 2), ("sil", 2), ("a", 2), ("sil", 1)]
    corpus = [utterance("u", "s", phones, [0] * 13)]
    items = collect(corpus, "triphone")
    assert [items.phones[p] for p in items.phone] == ["a", "b", "a"]
    assert len(set(items.context.tolist())) == 1
    assert items.length.tolist() == [6, 6, 5]
    assert evaluate(corpus).error == 0.5


def test_frames_whose_centre_is_in_the_phone_both_ends_included():
    def spans(*times, hop=HOP, frames=10):
        phones = tuple((a, b, "a") for a, b in times)
        items = collect([Utterance("u", "s", None, hop, phones, np.zeros(frames, int))], "phoneme")
        ends = zip(items.start.tolist(), items.length.tolist(), strict=True)
        return [(s, s + n - 1) for s, n in ends], items.dropped["without frames"]

    assert spans((0.0, 0.04)) == ([(0, 1)], 0)
    assert spans((0.01, 0.05)) == ([(0, 2)], 0)  # centres at .01 and .05: both ends count
    assert spans((0.011, 0.049)) == ([(1, 1)], 0)
    assert spans((0.011, 0.029)) == ([], 1)
    assert spans((0.07, 0.11)) == ([(3, 5)], 0)  # 0.07 / 0.02 is above 3.5 in floating point
    assert spans((0.18, 0.24)) == ([(9, 9)], 0)  # as far as there are frames
    assert spans((0.2, 0.24)) == ([], 1)
    assert spans((0.0, 0.08), hop=0.08) == ([(0, 0)], 0)  # the last frame is not forgotten


def test_phones_without_a_label_are_passed_over():
    phones = [("x", 1), (None, 1), ("a", 1), ("x", 1)]
    items = collect([utterance("u", "s", phones, [0, 1, 2, 3])], "triphone")
    assert (items.start.tolist(), items.length.tolist()) == ([0], [4])
    assert items.dropped == {"without both neighbours": 2, "without frames": 0}


def test_blocks_tables_and_order_change_nothing(monkeypatch):
    corpus = random_corpus(lambda rng, p: int(rng.integers(8)), 3, 4)
    vectors = np.random.default_rng(3).normal(size=(8, 5))

    def everything(utterances):
        return evaluate_all(utterances, vectors=vectors, exclusions=(None, "[01]"))

    expected = everything(corpus)
    assert len(expected) == 2 * 3 * 2 * 2
    assert everything(corpus) == expected
    for block in (30, 400):  # some works are cut into single X
        monkeypatch.setattr(_abx_run, "BLOCK", block)
        assert evaluate_all(corpus) == [
            s for s in expected if s.distance == "identity" and not s.excluded
        ]
    monkeypatch.setattr(dtw, "CELLS", 400)
    assert everything(corpus) == expected
    monkeypatch.setattr(frame_distance, "TABLE", 0)
    for one, other in zip(everything(corpus), expected, strict=True):
        assert one.error == pytest.approx(other.error, abs=1e-12)


def test_together_equals_one_by_one():
    corpus = random_corpus(lambda rng, p: int(rng.integers(8)))
    vectors = np.random.default_rng(3).normal(size=(8, 5))
    for score in evaluate_all(corpus, vectors=vectors, exclusions=(None, "[01]")):
        assert score == evaluate(
            corpus,
            task=score.task,
            mode=score.mode,
            distance=score.distance,
            vectors=vectors,
            exclude_sentences=score.excluded,
        )
    kept = [u for u in corpus if u.sentence not in {"0", "1"}]
    left = evaluate(corpus, exclude_sentences="[01]")
    assert replace(evaluate(kept), excluded="[01]", dropped=left.dropped) == left
    assert left.items < evaluate(corpus).items


def test_each_pair_of_sequences_is_warped_once(monkeypatch):
    corpus = random_corpus(lambda rng, p: int(rng.integers(4)))
    warped = []

    def spy(first, second, sequences, distance):
        warped.extend(zip(first.tolist(), second.tolist(), strict=True))
        return dtw.dtw(first, second, sequences, distance)

    monkeypatch.setattr(_abx_run, "dtw", spy)
    both = evaluate_all(corpus, tasks=["phoneme"], exclusions=(None, "0"))
    assert all(a < b for a, b in warped)
    assert len(warped) == len(set(warped)) < sum(s.pairs for s in both)


def test_caps():
    corpus = random_corpus(lambda rng, p: int(rng.integers(8)))
    whole = evaluate(corpus, task="phoneme", mode="across")
    few = evaluate(corpus, task="phoneme", mode="across", max_items=3, max_x_speakers=2)
    assert few == evaluate(corpus, task="phoneme", mode="across", max_items=3, max_x_speakers=2)
    other = evaluate(corpus, task="phoneme", mode="across", max_items=3, max_x_speakers=2, seed=1)
    assert other.error != few.error
    assert (
        evaluate(corpus, task="phoneme", max_items=3).error
        != evaluate(corpus, task="phoneme", max_items=3, seed=1).error
    )
    assert few.cells == 4 * 2 * 4 * 3  # speakers, of X, phones, other phones
    assert few.triples == few.cells * 27
    assert whole.cells == 4 * 3 * 4 * 3
    assert evaluate(corpus, task="phoneme", max_items=3).triples == 4 * 12 * 3 * 2 * 3
    everything = evaluate(corpus, task="phoneme", mode="across", max_items=10**6, max_x_speakers=9)
    assert everything == whole


def test_interval_is_the_jackknife_of_leaving_a_speaker_out():
    corpus = random_corpus(lambda rng, p: int(rng.integers(3)) + (p == "a"))
    for mode in ("within", "across"):
        score = evaluate(corpus, task="phoneme", mode=mode)
        without = [
            evaluate([u for u in corpus if u.speaker != s], task="phoneme", mode=mode).error
            for s in ("s0", "s1", "s2", "s3")
        ]
        error = math.sqrt(3 * np.var(without))
        assert score.high - score.error == pytest.approx(3.182 * error, rel=0.02)
        assert score.error - score.low == pytest.approx(3.182 * error, rel=0.02)


def test_interval_needs_every_speaker_to_be_dispensable():
    # three speakers, but only one has what makes a cell
    corpus = [one_phone_each([0, 0, 1], "s"), one_phone_each([0], "t", "a"),
              one_phone_each([0], "u", "b")]  # fmt: skip
    assert evaluate(corpus, task="phoneme").low is None


def test_nothing_to_compare():
    alone = [one_phone_each([0, 1, 2])]
    with pytest.raises(ManifestError, match="across speakers among 3 items: two speakers"):
        evaluate(alone, task="phoneme", mode="across")
    with pytest.raises(ManifestError, match="within speakers among 1 items: a speaker must"):
        evaluate(alone)
    within, across = evaluate_all(alone, tasks=["phoneme"])
    assert (within.error, within.note) == (0.5, "")
    assert across.error is None
    assert "give more speech" in across.note


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"frames": np.zeros((3, 2, 2))}, ConfigError, "shape (3, 2, 2)"),
        ({"frames": np.array([True, False, True])}, ConfigError, "are bool"),
        ({"frames": np.zeros((3, 2))}, ConfigError, "needs unit ids"),
        ({"hop": 0.0}, ConfigError, "hop is 0.0"),
        ({"hop": 0.002}, ManifestError, "ends at 0.060 s, the 3 frames of 2 ms at 0.006 s"),
        ({"phones": ((0.0, 0.04, "a"), (0.02, 0.06, "b"))}, ManifestError, "out of order"),
        ({"phones": ((0.0, math.nan, "a"),)}, ManifestError, "out of order"),
        ({"phones": ((0.04, 0.02, "a"),)}, ManifestError, "out of order"),
    ],
)
def test_bad_utterances(change, error, message):
    with pytest.raises(error) as caught:
        evaluate([replace(one_phone_each([0, 0, 1]), **change)], task="phoneme")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_choices():
    corpus = [one_phone_each([0, 0, 1])]
    for options, message in (
        ({"task": "word"}, "accepted: triphone, phoneme"),
        ({"mode": "between"}, "accepted: within, across"),
        ({"distance": "cosine"}, "accepted: identity"),
        ({"distance": "angular"}, "needs vectors"),
        ({"max_items": 1}, "max_items is 1; give 2 or more"),
        ({"exclude_sentences": "("}, "no regular expression"),
    ):
        with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
            evaluate(corpus, **options)
    with pytest.raises(ManifestError, match="no utterances"):
        evaluate([])
    with pytest.raises(ManifestError, match="there twice"):
        evaluate(corpus * 2)
    with pytest.raises(ConfigError, match="different kinds"):
        evaluate([*corpus, replace(corpus[0], id="other", frames=np.zeros((3, 2)))])
    with pytest.raises(ManifestError, match="at most 8191"):
        evaluate([utterance("u", "s", [("a", 9000)], [0] * 9000)], task="phoneme")


@pytest.mark.parametrize("mode", ["within", "across"])
@pytest.mark.parametrize("task", ["triphone", "phoneme"])
@pytest.mark.parametrize("distance", ["identity", "angular", "euclidean"])
def test_equals_fastabx(tmp_path, task, mode, distance):
    fastabx = pytest.importorskip("fastabx")  # needs Python 3.12
    import torch

    corpus = random_corpus(lambda rng, p: int(rng.integers(6)))
    vectors = np.random.default_rng(5).normal(size=(6, 4))
    rows = ["#file onset offset #phone prev-phone next-phone speaker"]
    for u in corpus:
        frames = u.frames[:, None] if distance == "identity" else vectors[u.frames]
        torch.save(torch.from_numpy(frames).float(), tmp_path / f"{u.id}.pt")
        for before, phone, after in zip(u.phones, u.phones[1:], u.phones[2:], strict=False):
            first, last = (before, after) if task == "triphone" else (phone, phone)
            rows.append(
                f"{u.id} {first[0]:.2f} {last[1]:.2f} {phone[2]} {before[2]} {after[2]} {u.speaker}"
            )
    (tmp_path / "all.item").write_text("\n".join(rows) + "\n")
    theirs = fastabx.zerospeech_abx(
        tmp_path / "all.item",
        tmp_path,
        max_size_group=None,
        max_x_across=None,
        speaker=mode,
        context="within" if task == "triphone" else "any",
        distance="identical" if distance == "identity" else distance,
        frequency=50,
    )
    if task == "phoneme":  # fastabx has no items for the first and last phone of each utterance
        corpus = [
            replace(u, phones=tuple(
                (s, e, p if 0 < i < len(u.phones) - 1 else "sil")
                for i, (s, e, p) in enumerate(u.phones)
            ))
            for u in corpus
        ]  # fmt: skip
    ours = evaluate(corpus, task=task, mode=mode, distance=distance, vectors=vectors)
    # float32 there, exact here: sums of vectors' distances tie only here
    assert ours.error == pytest.approx(theirs, abs=1e-6 if distance == "identity" else 5e-3)
