import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.eval import unit_rates
from audiovq.eval.unit_rates import rate, run_lengths, runs, runs_and_durations
from tests.eval.corpora import corpus, values


def zerospeech(symbols, seconds):
    """N / D * H(s), as zerospeech2020's bitrate.py: symbols of all files together."""
    counts = Counter(symbols)
    n = len(symbols)
    return n / seconds * -sum(c / n * math.log2(c / n) for c in counts.values())


def bits(symbols):
    return zerospeech(symbols, len(symbols)) if symbols else 0.0


def test_four_rates_by_hand():
    # 8 frames of 10 ms: 0 0 1 1 | 1 1 2 0, two utterances, 0.08 s
    found = values(unit_rates.evaluate(corpus([("a", "ssss", "0011"), ("b", "ssss", "1120")])))
    assert found["nominal_bitrate"] == 100 * 3
    assert found["unigram_bitrate"] == pytest.approx(zerospeech("00111120", 0.08))
    assert found["unigram_bitrate"] == pytest.approx(
        100 * -(3 / 8 * math.log2(3 / 8) + 4 / 8 * math.log2(1 / 2) + 1 / 8 * math.log2(1 / 8))
    )
    assert found["run_bitrate"] == pytest.approx(5 / 0.08 * bits("01120"))  # runs stop at the ends
    runs_ = [("0", 2), ("1", 2), ("1", 2), ("2", 1), ("0", 1)]
    conditional = sum(
        n / 5 * bits([d for s, d in runs_ if s == symbol])
        for symbol, n in Counter(s for s, _ in runs_).items()
    )
    expected = 5 / 0.08 * (bits("01120") + conditional)
    assert found["run_duration_bitrate"] == pytest.approx(expected)
    assert found["frame_rate"] == 100
    assert found["run_rate"] == pytest.approx(5 / 0.08)
    assert found["perplexity"] == pytest.approx(2 ** found["entropy"])
    assert found["active_codes"] == 3


def test_rows_are_added_up_and_use_is_of_the_chosen_one():
    c = corpus([("a", "ssss", "0011/0123")], sizes=(8, 4), codebook=1)
    found = values(unit_rates.evaluate(c))
    assert found["nominal_bitrate"] == 100 * (3 + 2)
    assert found["unigram_bitrate"] == pytest.approx(100 * (1 + 2))
    assert found["entropy"] == 2
    assert found["active_codes"] == 4
    assert found["run_rate"] == 100


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=40))
def test_runs_equal_itertools(codes):
    from itertools import groupby

    row = np.array(codes)
    expected = [(k, len(list(g))) for k, g in groupby(codes)]
    assert list(zip(runs(row).tolist(), run_lengths(row).tolist(), strict=True)) == expected
    pairs = runs_and_durations(row).tolist()
    assert len(set(pairs)) == len(set(expected))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.floats(0.1, 10))
def test_rate_is_zerospeechs(codes, seconds):
    counts = np.bincount(codes)
    assert rate([counts], seconds) == pytest.approx(zerospeech(codes, seconds), abs=1e-9)


def test_seconds_are_of_the_audio_and_not_of_whole_frames():
    from audiovq.eval.labelled import label
    from tests.eval.corpora import coded, manifest, record

    c = label(coded({"a": [0, 1, 0]}, {"a": 21}), manifest([record("a", [(0, 21, "s")])]))
    found = values(unit_rates.evaluate(c))
    assert found["unigram_bitrate"] == pytest.approx(zerospeech([0, 1, 0], 0.021))


def test_intervals_are_jackknifed_over_speakers():
    rng = np.random.default_rng(0)
    made = [(f"p{i}", "s" * 50, "".join(map(str, rng.integers(0, 8, 50)))) for i in range(6)]
    found = {f.name: f for f in unit_rates.evaluate(corpus(made))}
    for name in ("unigram_bitrate", "run_bitrate", "run_duration_bitrate", "entropy", "perplexity"):
        assert found[name].interval == "jackknife over 6 speakers"
        assert found[name].low <= found[name].value <= found[name].high
    assert found["entropy"].high <= 3
    assert found["entropy_corrected"].value > found["entropy"].value
