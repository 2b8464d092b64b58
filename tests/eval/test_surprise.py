import math
import random

import numpy as np
import pytest
import torch

from audiovq.eval import surprise
from audiovq.prior._base import Condition
from audiovq.units.sequences import read_split
from tests.prior.test_generate import MODEL, prior
from tests.units.made import MadeUnits, made_units, metadata

SIZES = MODEL.codebook_sizes


@pytest.fixture(scope="module")
def sequences():
    records = made_units(random.Random(0), SIZES, ids=["a", "b", "c", "d"])
    return read_split(MadeUnits(list(records), metadata(SIZES)), None)


@pytest.mark.parametrize("name", ["wavenet", "lstm"])
def test_bits_are_those_of_the_logits_code_by_code(sequences, name):
    trained = prior(name=name)
    codes = max(sequences.codes, key=lambda c: c.shape[1])
    for label, number in (("ann", 1), ("nobody", 0), (None, 0)):
        found = surprise.of_drawn([trained], codes, label)
        told = Condition(label=torch.tensor([number]))
        logits = trained.module(codes[None].long(), None, told)[0].detach()
        for t in range(codes.shape[1]):
            p = logits[0, :, t].double().softmax(dim=0)[int(codes[0, t])]
            assert found[0, t] == pytest.approx(-math.log2(float(p)), abs=1e-4)


def test_histogram_is_that_of_a_loop(sequences):
    rng = np.random.default_rng(0)
    found = [rng.exponential(4, size=tuple(c.shape)) for c in sequences.codes]
    found[0][0, 0] = 1e6
    repeated, changed = surprise.histogram(found, sequences.codes, 0.5)
    slow = np.zeros((2, len(repeated)), np.int64)
    for bits, codes in zip(found, sequences.codes, strict=True):
        for k, row in enumerate(codes.tolist()):
            for t, code in enumerate(row):
                new = t == 0 or row[t - 1] != code
                slow[int(new), int(min(bits[k, t], surprise.MOST) / 0.5)] += 1
    np.testing.assert_array_equal(np.stack([repeated, changed]), slow)


def test_positions_double(sequences):
    found = [np.arange(2 * n, dtype=np.float64).reshape(2, n) for n in (1, 6, 7)]
    means, frames = surprise.by_position(found)
    assert frames.tolist() == [3, 4, 7]  # frame 0, frames 1 and 2, frames 3 to 6
    for k in range(2):
        for p, (first, last) in enumerate(((0, 0), (1, 2), (3, 6))):
            each = [b[k, t] for b in found for t in range(first, last + 1) if t < b.shape[1]]
            assert means[k, p] == pytest.approx(np.mean(each))
    weighted = (means * frames).sum(axis=1) / frames.sum()
    assert surprise.row_means(found) == pytest.approx(weighted)


def test_examples_are_the_least_the_middle_and_the_most_surprising():
    found = [np.full((1, 3), v) for v in (5.0, 1.0, 9.0, 4.0, 6.0)]
    assert surprise.telling(found) == [1, 0, 2]
    assert surprise.telling(found[:1]) == [0]
    assert surprise.telling([]) == []
