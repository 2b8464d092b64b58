import pytest

from audiovq.eval import per
from tests.eval.corpora import corpus, values


def test_perfect_units_make_no_error():
    made = [(s, "ss.nn", "00122") for s in "abcde"]
    assert values(per.evaluate(corpus(made))) == {"phone_error_rate": 0.0}


def test_errors_by_hand():
    # a and b agree; c's middle frame is an insertion: s n s n against s n
    made = [("a", "sssnnn", "000111"), ("b", "sssnnn", "000111"), ("c", "sssnnn", "010111")]
    (figure,) = per.evaluate(corpus(made))
    assert figure.value == pytest.approx(2 / 6)  # n and s too many, of six phones in all
    assert figure.count == 6


def test_units_cut_finer_than_phones_cost_only_where_names_differ():
    made = [(s, "sssnnn", "012345") for s in "abc"]
    assert (
        values(per.evaluate(corpus(made)))["phone_error_rate"] == 0
    )  # runs of one name are joined


def test_the_speaker_is_named_by_the_others():
    made = [("a", "ssnn", "0011"), ("b", "nnss", "0011")]  # each misleads the other
    assert values(per.evaluate(corpus(made)))["phone_error_rate"] == 1.0


def test_phones_too_short_for_a_frame_are_still_gold():
    from audiovq.eval.labelled import label
    from tests.eval.corpora import coded, manifest, record

    rows = [(0, 10, "s"), (10, 14, "t"), (14, 30, "n")]  # no frame's centre is in t: 5, 15, 25
    records = [record(n, rows, speaker=n) for n in "ab"]
    c = label(coded({n: [0, 1, 1] for n in "ab"}, dict.fromkeys("ab", 30)), manifest(records))
    (figure,) = per.evaluate(c)
    assert (figure.value, figure.count) == (pytest.approx(2 / 6), 6)


def test_unlabelled_stretches_are_no_phones_and_one_speaker_gives_nothing():
    made = [(s, "ss--nn", "000011") for s in "ab"]
    assert values(per.evaluate(corpus(made)))["phone_error_rate"] == 0
    assert per.evaluate(corpus([("a", "sn", "01")])) == []


def test_frames_without_a_phone_are_no_insertions():
    """The same speech, once with a stretch that no row of the alignment covers."""
    whole = corpus([("a", "ssnn", "0011"), ("b", "ssnn", "0011")])
    gap = corpus([("a", "ss--nn", "002211"), ("b", "ss--nn", "002211")])
    assert [f.value for f in per.evaluate(gap)] == [f.value for f in per.evaluate(whole)] == [0.0]
