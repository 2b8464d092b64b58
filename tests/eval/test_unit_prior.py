"""The rates of units under a prior, against those of `score`, and priors of other codes."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from audiovq.errors import CheckpointError, ConfigError
from audiovq.eval import unit_prior
from audiovq.eval.coded import from_units
from audiovq.eval.labelled import label
from audiovq.eval.unit_parts import Aids, rates
from audiovq.prior._base import Condition
from audiovq.prior._part import Part
from tests.eval.corpora import manifest, record
from tests.prior.test_release import made
from tests.units.made import RATE, made_units

SIZES = (6, 4)


@pytest.fixture(scope="module")
def corpus():
    units = made_units(random.Random(0), SIZES, ids=[f"u{i}" for i in range(24)])
    records = [
        record(u.id, (), samples=u.num_samples, rate=RATE, speaker=u.speaker, split=u.split)
        for u in units
    ]
    return label(from_units(units, "units"), manifest(records))


def test_bits_are_those_of_each_utterance_alone(corpus):
    trained = made(labels=("s0",))
    figures, notes = unit_prior.evaluate(corpus, trained)
    found = {f.name: f for f in figures}
    seconds = sum(u.duration for u in corpus.utterances)
    bits = 0.0
    for u in corpus.utterances:
        told = Condition(label=torch.tensor([int(u.speaker == "s0")]))
        alone = trained.module.log_prob(torch.from_numpy(u.codes)[None], None, told)
        bits -= float(alone.detach().double().sum()) / math.log(2)
    rate = found["prior_bitrate"]
    assert rate.value == pytest.approx(bits / seconds, rel=1e-5)
    assert rate.low < rate.value < rate.high
    frames = sum(u.codes.shape[1] for u in corpus.utterances)
    assert rate.count == 2 * frames
    unigram = found["trained_unigram_bitrate"]  # `made` has counted each code once
    assert unigram.value == pytest.approx(frames * math.log2(24) / seconds)
    assert "wavenet" in notes[0]
    assert "12 of 24 utterances are of the split train" in notes[1]


def test_it_is_a_part_of_the_rates_only_with_a_prior_of_these_codes(corpus):
    aids = Aids(manifest=manifest([]), priors=[made()])
    plain = rates(corpus, replace(aids, priors=()))
    assert not plain.notes
    more = rates(corpus, aids)
    names = [f.name for f in more.figures]
    assert names == [*(f.name for f in plain.figures), "trained_unigram_bitrate", "prior_bitrate"]
    other = replace(corpus, coded=replace(corpus.coded, fingerprint="f" * 64))
    assert len(rates(other, aids).figures) == len(plain.figures)


def test_a_prior_of_no_codes_here_and_two_of_the_same(corpus):
    units = corpus.coded
    others = replace(units, fingerprint="f" * 64, label="others")
    unit_prior.check([others, units], [made()])
    with pytest.raises(CheckpointError, match=r"model 000000000000 .* others of ffffffffffff"):
        unit_prior.check([others], [made()])
    with pytest.raises(CheckpointError):
        unit_prior.check([replace(units, codebook_sizes=(6, 5))], [made()])
    with pytest.raises(ConfigError, match="two priors are of the same codes"):
        unit_prior.check([units], [made(), made("ngram")])
    with pytest.raises(CheckpointError):
        unit_prior.evaluate(replace(corpus, coded=others), made())
    assert unit_prior.of(others, [made()]) is None


def test_float64_adds_up_what_float32_loses(corpus, monkeypatch):
    """A million equal nats: float32 sums would drift."""
    value = np.float32(0.1)

    def given(trained, codes, speakers):
        for i, _ in enumerate(codes):
            yield i, np.full((1, 1 << 20), value, np.float32)

    monkeypatch.setattr(unit_prior, "code_nats", given)
    found = {f.name: f.value for f in unit_prior.evaluate(corpus, made())[0]}
    seconds = sum(u.duration for u in corpus.utterances)
    exact = len(corpus.utterances) * (1 << 20) * float(value) / math.log(2) / seconds
    assert found["prior_bitrate"] == pytest.approx(exact, rel=1e-12)


def test_a_prior_of_other_rows_of_the_same_size_or_that_is_given_more(corpus):
    units, trained = replace(corpus.coded, codebook_sizes=(4,)), made()

    def part(row, given=()):
        codes = trained.about.codes.model_copy(update={"codebook_sizes": (4,)})
        of = Part(codebook_sizes=(4, 4, 4), names=("x",), rows=(row,), given=given)
        return replace(trained, about=trained.about.model_copy(update={"codes": codes, "part": of}))

    unit_prior.check([units], [part(0)])
    with pytest.raises(CheckpointError, match="--prior: the wavenet is of"):
        unit_prior.check([units], [part(1)])
    with pytest.raises(ConfigError, match="is given other codes or features: `audiovq score"):
        unit_prior.check([units], [part(0, given=(1,))])
