"""Priors side by side, against resampling by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest

from audiovq.eval.estimate import Estimate
from audiovq.eval.prior_compare import compare
from audiovq.eval.prior_rates import Rate
from audiovq.eval.prior_score import Score, UtteranceScore

SPEAKERS = [f"s{i // 2}" for i in range(24)]


def scored(costs, name="wavenet", unigram=400.0):
    """A score of 24 utterances of 100 codes by twelve speakers, two of each."""
    utterances = [
        UtteranceScore(id=f"u{i}", speaker=s, codes=100, seconds=2.0, nats=float(c))
        for i, (s, c) in enumerate(zip(SPEAKERS, costs, strict=True))
    ]
    mean = Estimate(float(np.mean(costs)) / 100)
    rates = [Rate(name=n, bits_per_code=mean, bits_per_second=mean) for n in ("unigram", "prior")]
    return Score(
        about={"prior": {"name": name, "fingerprint": "f"}},
        rates=rates,
        saved=Estimate(0.1, 0.05, 0.15),
        utterances=utterances,
        unigram=np.full(24, unigram),
    )


@pytest.fixture(scope="module")
def costs():
    rng = np.random.default_rng(0)
    easy = np.repeat(rng.uniform(50, 500, 12), 2)  # speakers differ by far more than priors do
    gram = easy * 1.05 + rng.normal(0, 1, 24)
    return {"wave": easy, "gram": gram, "worse": easy * 1.2}


@pytest.fixture(scope="module")
def found(costs):
    scores = [scored(costs["gram"], "ngram"), scored(costs["worse"]), scored(costs["wave"])]
    return compare(["gram", "worse", "wave"], scores, [True, False, False])


def test_differences_are_of_sums_and_paired(found, costs):
    more = found.priors[2].more
    assert found.priors[0].more is None
    assert more.value == pytest.approx(costs["wave"].sum() / costs["gram"].sum() - 1)
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(2000):
        chosen = [2 * s + u for s in rng.integers(0, 12, 12) for u in (0, 1)]
        drawn.append(costs["wave"][chosen].sum() / costs["gram"][chosen].sum() - 1)
    assert (more.low, more.high) == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=4e-4)
    assert more.high - more.low < 0.01  # though costs themselves vary tenfold
    assert more.interval == "bootstrap over 12 speakers"


def test_the_best_that_learns_beside_the_best_that_counts(found, costs):
    assert (found.neural.label, found.counting.label) == ("wave", "gram")
    share = 1 - costs["wave"].sum() / costs["gram"].sum()
    assert found.between.value == pytest.approx(share)
    assert found.between.low < share < found.between.high
    text = found.table()
    assert f"wave, the best that learns, needs {100 * share:.1f} [" in text
    assert "fewer bits than gram, the best that counts, and 10.0 [5.0, 15.0] % fewer" in text
    values = json.loads(json.dumps(found.to_dict()))
    assert [p["label"] for p in values["priors"]] == ["gram", "worse", "wave"]
    assert values["best_neural_under_best_ngram"]["value"] == pytest.approx(share)
    assert values["priors"][2]["nats"] == pytest.approx(costs["wave"].tolist())


def test_without_an_ngram_or_with_other_training_codes(costs):
    first, other = scored(costs["wave"]), scored(costs["worse"], unigram=401.0)
    found = compare(["a", "b"], [first, other], [False, False])
    assert found.counting is None
    assert found.between is None
    assert "the best that learns" not in found.table()
    assert "each has a unigram of its own" in found.table()
    found = compare(["a", "b"], [first, replace(first, unigram=None, saved=None)], [False, False])
    assert found.priors[1].fewer is None
    assert "each has a unigram of its own" in found.table()
