"""The README's examples do what they say, on small units made up for it."""

import random
from math import log2

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import nearest_unit, unit_ctc, unit_lm
from tests.units.made import HOP, RATE, MadeUnits, made_units, metadata, record


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def test_the_language_model_learns_what_comes_next():
    units = made_units(
        random.Random(0), sizes=(8,), ids=[f"u{i}" for i in range(40)], frames=(80, 100)
    )
    before = unit_lm.main(units, epochs=0)
    after = unit_lm.main(units, epochs=30)
    # the next unit is the following one 80 % of the time and any else otherwise
    source = -(0.825 * log2(0.825) + 7 * 0.025 * log2(0.025))
    assert source - 0.1 < after < 1.8
    assert before > 2.8


def spoken(rng, number):
    """An utterance of a few letters, each some frames of one of its two units."""
    text = "".join(rng.choice("abc") for _ in range(rng.randint(2, 5)))
    codes = [0]
    for letter in text:
        unit = 1 + 2 * "abc".index(letter) + rng.randint(0, 1)
        codes += [unit] * rng.randint(2, 5) + [0] * rng.randint(1, 2)
    return record(f"u{number}", [codes], split="train" if number % 8 else "test", text=text)


def test_the_recogniser_spells_what_was_said():
    rng = random.Random(0)
    units = MadeUnits([spoken(rng, n) for n in range(96)], metadata((7,)))
    pairs = unit_ctc.main(units, epochs=25, rate=0.01)
    assert len(pairs) == 12
    assert sum(said == found for said, found in pairs) >= 11


def slow(query, corpus):
    """Edit distance of the query to every stretch that ends at each unit, and the least."""
    found = []
    for end in range(1, len(corpus) + 1):
        best = len(query)
        for start in range(end + 1):
            part = corpus[start:end]
            row = list(range(len(part) + 1))
            for i, q in enumerate(query, 1):
                old, row = row, [i]
                for j, c in enumerate(part, 1):
                    row.append(min(old[j - 1] + (q != c), old[j] + 1, row[j - 1] + 1))
            best = min(best, row[-1])
        found.append(best)
    return found


few = st.lists(st.integers(0, 3), min_size=1, max_size=7)


@settings(max_examples=60, deadline=None)
@given(few, few)
def test_distances_of_the_search(query, corpus):
    found = nearest_unit.ends(torch.tensor(query), torch.tensor(corpus))
    assert found.tolist() == slow(query, corpus)


def test_the_search_finds_the_word_and_when_it_was_said():
    word = [5, 5, 1, 6, 6, 2, 5]
    records = [
        record("query", [[0, 0, *word, 0]]),
        record("same", [[3, 3, 4, *word, 4, 3]]),
        record("near", [[3, 5, 1, 6, 7, 2, 2, 5, 3]]),
        record("none", [[3, 4, 3, 4, 3, 4]]),
    ]
    units = MadeUnits(records, metadata((8,)))
    frame = HOP / RATE
    found = nearest_unit.main(units, "query", 2 * frame, 9 * frame)
    assert [(f[0], f[3]) for f in found] == [(0, "same"), (1, "near"), (5, "none")]
    assert found[0][1:3] == pytest.approx((3 * frame, 10 * frame))
    assert found[1][1:3] == pytest.approx((1 * frame, 8 * frame))
