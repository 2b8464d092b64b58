"""Scores of a prior, against sums by hand; rates beside it, against those of `evaluate-units`."""

import json
import math
import random
from collections import Counter

import numpy as np
import pytest
import torch

from audiovq.errors import CheckpointError, ConfigError, NonFiniteError
from audiovq.eval import prior_likelihood
from audiovq.eval.prior_score import LABELS, score
from audiovq.prior._base import Condition
from audiovq.units.sequences import read_split
from tests.prior.test_release import made
from tests.units.made import HOP, RATE, made_units

SIZES = (6, 4)
NAMES = [f"u{i}" for i in range(40)]


@pytest.fixture(scope="module")
def units():
    return made_units(random.Random(0), SIZES, ids=NAMES)


@pytest.fixture(scope="module")
def trained():
    return made(labels=("s0", "s2"))


@pytest.fixture(scope="module")
def found(units, trained):
    return score(trained, read_split(units, "train"), "train", "units")


def test_every_utterance_costs_what_it_costs_alone(units, trained, found):
    for u in found.utterances:
        record = units[u.id]
        label = {"s0": 1, "s2": 2}.get(record.speaker, 0)
        condition = Condition(label=torch.tensor([label]))
        alone = trained.module.log_prob(record.codes[None], None, condition)
        assert u.nats == pytest.approx(-float(alone.detach().double().sum()), rel=1e-5)
        assert (u.codes, u.speaker) == (record.codes.numel(), record.speaker)
        assert u.seconds == record.num_samples / RATE
        values = u.to_dict()
        assert values["bits_per_code"] == pytest.approx(u.nats / math.log(2) / u.codes)
        assert values["bits_per_second"] == pytest.approx(u.nats / math.log(2) / u.seconds)
        assert values["perplexity"] == pytest.approx(math.exp(u.nats / u.codes))


def test_parts_and_batches_add_up(units, trained, monkeypatch):
    sequences = read_split(units, None)
    whole = prior_likelihood.nats(trained, sequences)
    halves = sum(prior_likelihood.nats(trained, sequences, (i, 2)) for i in range(2))
    assert halves == pytest.approx(whole, rel=1e-5)
    monkeypatch.setattr(prior_likelihood, "_LOGITS", 1)  # one at a time
    assert prior_likelihood.nats(trained, sequences) == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("stretch", [1, 300, 1 << 21])
def test_codes_come_in_order_whatever_is_held_at_a_time(units, trained, monkeypatch, stretch):
    monkeypatch.setattr(prior_likelihood, "_STRETCH", stretch)
    sequences = read_split(units, None)
    seen, heard = [], []
    total = prior_likelihood.nats(
        trained, sequences, each=lambda i, nats: (seen.append(i), heard.append(nats))
    )
    assert seen == list(range(40))
    for found, codes, nats in zip(heard, sequences.codes, total, strict=True):
        assert found.shape == tuple(codes.shape)
        assert found.sum(dtype=np.float64) == nats
        assert found.min() > 0
    odd = prior_likelihood.code_nats(trained, sequences.codes, sequences.speakers, (1, 2))
    even = prior_likelihood.code_nats(trained, sequences.codes, sequences.speakers, (0, 2))
    parts = [[i for i, _ in half] for half in (odd, even)]
    assert sorted(parts[0] + parts[1]) == seen
    assert all(part == sorted(part) for part in parts)


@pytest.mark.parametrize("stretch", [1, 5, 12, 100])
def test_stretches_are_cut_once_they_are_full(monkeypatch, stretch):
    monkeypatch.setattr(prior_likelihood, "_STRETCH", stretch)
    frames = [3, 1, 1, 9, 2, 2, 4]
    cut = [list(r) for r in prior_likelihood._stretches(frames, 2)]
    assert [i for part in cut for i in part] == list(range(7))
    for part in cut[:-1]:
        assert sum(2 * frames[i] for i in part) >= stretch
        assert sum(2 * frames[i] for i in part[:-1]) < stretch


def test_a_damaged_prior_is_named(units):
    bad = made()
    with torch.no_grad():
        next(bad.module.parameters()).fill_(math.nan)
    name = f"the prior wavenet {bad.fingerprint()[:12]} is damaged"
    with pytest.raises(NonFiniteError, match=name):
        score(bad, read_split(units, "test"), "test", "units")


@pytest.mark.parametrize("codes", [[[6], [0]], [[0], [-1]], [[0]], [[], []]])
def test_codes_out_of_range_are_refused(trained, codes):
    wrong = torch.tensor(codes, dtype=torch.int32)
    with pytest.raises(ConfigError, match=r"values in \[0, N\), N = \(6, 4\)"):
        list(prior_likelihood.code_nats(trained, [wrong], [None]))


def test_the_total_is_a_mean_over_codes_with_an_interval_around_it(found):
    nats, codes = (sum(getattr(u, k) for u in found.utterances) for k in ("nats", "codes"))
    seconds = sum(u.seconds for u in found.utterances)
    rate = found["prior"]
    assert rate.bits_per_code.value == pytest.approx(nats / math.log(2) / codes)
    assert rate.bits_per_second.value == pytest.approx(nats / math.log(2) / seconds)
    assert rate.perplexity == pytest.approx(math.exp(nats / codes))
    low, high = rate.bits_per_code.low, rate.bits_per_code.high
    assert low < rate.bits_per_code.value < high
    assert rate.bits_per_code.interval == "bootstrap over 20 utterances"  # of three speakers


def test_the_unigram_is_that_of_the_training_codes(units, found):
    """`made` says that each code was there once: with half a count more, all are alike."""
    assert found["unigram"].bits_per_code.value == pytest.approx((math.log2(6) + math.log2(4)) / 2)
    here = found["unigram_plug_in"].bits_per_code.value
    total = number = 0.0
    for k in range(len(SIZES)):
        counts = Counter(c for u in found.utterances for c in units[u.id].codes[k].tolist())
        n = sum(counts.values())
        total -= sum(c * math.log2(c / n) for c in counts.values())
        number += n
    assert here == pytest.approx(total / number)


def test_runs_cost_what_their_symbols_do(units, found):
    """By hand, with lists and counters."""
    seconds = sum(u.seconds for u in found.utterances)
    for name, durations in (("runs", False), ("runs_with_durations", True)):
        bits = 0.0
        for k in range(len(SIZES)):
            symbols = []
            for u in found.utterances:
                runs = []
                for code in units[u.id].codes[k].tolist():
                    if runs and runs[-1][0] == code:
                        runs[-1][1] += 1
                    else:
                        runs.append([code, 1])
                symbols += [tuple(r) if durations else r[0] for r in runs]
            n = len(symbols)
            bits -= sum(c * math.log2(c / n) for c in Counter(symbols).values())
        assert found[name].bits_per_second.value == pytest.approx(bits / seconds)
        codes = sum(u.codes for u in found.utterances)
        assert found[name].bits_per_code.value == pytest.approx(bits / codes)


def test_the_nominal_rate_and_what_is_saved(found):
    frames = RATE / HOP
    assert found["nominal"].bits_per_second.value == pytest.approx(frames * math.log2(24))
    assert found["nominal"].bits_per_code.value == pytest.approx(math.log2(24) / 2)
    share = found["prior"].bits_per_code.value / found["unigram"].bits_per_code.value
    assert found.saved.value == pytest.approx(1 - share)
    assert found.saved.low < found.saved.value < found.saved.high


def test_tables_and_json_hold_all_of_it(found):
    values = json.loads(found.to_json())
    assert list(values["rates"]) == list(LABELS)
    assert len(values["utterances"]) == values["data"]["utterances"] == 20
    assert values["nats"] == pytest.approx(sum(u["nats"] for u in values["utterances"]))
    text = found.table()
    assert all(label in text for label in LABELS.values())
    assert found.each().count("\n") == 20


def test_codes_of_another_model_are_refused(units, trained):
    sequences = read_split(units, "test")
    about = sequences.metadata.model_copy(update={"model_hash": "1" * 64})
    from dataclasses import replace

    with pytest.raises(CheckpointError, match="units/x holds codes of the model 1111"):
        score(trained, replace(sequences, metadata=about), "test", "units/x")
