import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from audiovq.eval import codebook

RNG = np.random.default_rng(0)


def named(values):
    return {v.name: v for v in values}


def random_groups(groups=8, rows=2, size=16):
    return RNG.integers(0, 50, size=(groups, rows, size))


def test_counts_of_an_item_are_those_of_a_loop():
    codes = torch.from_numpy(RNG.integers(0, 5, size=(1, 2, 40)))
    counts = codebook.count(codes, (5, 8))
    assert counts.shape == (2, 8)
    for k in range(2):
        for n in range(8):
            assert counts[k, n] == sum(int(c) == n for c in codes[0, k])


def test_figures_equal_their_definitions():
    by_group = random_groups()
    total = by_group.sum(axis=0)
    values = named(
        codebook.describe(by_group, (16, 16), seconds=100.0, nominal=400.0, unit="speakers")
    )
    bits = sum(stats.entropy(row, base=2) for row in total)
    rate = total[0].sum() / 100.0
    assert values["entropy"].value == pytest.approx(bits)
    assert values["perplexity"].value == pytest.approx(2 ** (bits / 2))
    assert values["unigram_bitrate"].value == pytest.approx(rate * bits)
    assert values["bitrate"].value == 400.0
    assert values["usage"].value == np.mean(total > 0)
    assert values["usage"].count == total[0].sum()
    assert values["entropy"].interval == "jackknife over 8 speakers"


def test_rates_of_codebooks_of_different_sizes():
    by_group = np.zeros((4, 2, 8), np.int64)
    by_group[:, 0, :] = 5
    by_group[:, 1, :2] = 20
    values = named(codebook.describe(by_group, (8, 2), seconds=16.0, nominal=40.0, unit="u"))
    assert values["usage"].value == 1.0
    assert values["entropy"].value == pytest.approx(4.0)  # 3 bits + 1 bit
    assert values["unigram_bitrate"].value == pytest.approx(160 / 16 * 4)


def test_cross_entropy_is_what_a_code_fixed_on_train_spends():
    test, train = random_groups(1)[0], random_groups(1)[0]
    expected = 0.0
    for row, seen in zip(test, train, strict=True):
        q = (seen + 1) / (seen + 1).sum()
        expected += sum(n * -np.log2(q[i]) for i, n in enumerate(row)) / row.sum()
    assert codebook.cross_entropy(test, train, (16, 16)) == pytest.approx(expected)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=4, max_size=4), st.integers(0, 99))
def test_a_code_made_for_other_data_is_never_cheaper(row, seed):
    test = np.array([row])
    if not test.sum():
        return
    train = np.random.default_rng(seed).integers(0, 9, size=(1, 4))
    assert codebook.cross_entropy(test, train, (4,)) >= codebook.entropy(test) - 1e-9


def test_coded_bitrate_is_reported_with_train_counts_only():
    by_group = random_groups()
    options = {"seconds": 10.0, "nominal": 1.0, "unit": "speakers"}
    assert "coded_bitrate" not in named(codebook.describe(by_group, (16, 16), **options))
    values = named(codebook.describe(by_group, (16, 16), train=by_group.sum(axis=0), **options))
    assert values["coded_bitrate"].value >= values["unigram_bitrate"].value
    assert values["coded_bitrate"].low < values["coded_bitrate"].value


def test_intervals_hold_the_value_and_stay_possible():
    by_group = np.zeros((6, 1, 4), np.int64)
    by_group[:, 0, 0] = 100
    by_group[0, 0, 1:] = 1  # codes seen in one group only
    for value in codebook.describe(by_group, (4,), seconds=9.0, nominal=9.0, unit="u"):
        if value.low is not None:
            assert value.low <= value.value <= value.high
    usage = named(codebook.describe(by_group, (4,), seconds=9.0, nominal=9.0, unit="u"))["usage"]
    assert usage.high == 1.0
    assert usage.low >= 0.0


def test_no_codes_at_all_cost_nothing():
    assert codebook.entropy(np.zeros((2, 4), np.int64)) == 0


def test_entropy_sums_over_used_codes_and_adds_nothing_inside_the_logarithm():
    """Defect k (fairseq): 1e-8 inside the logarithm moved every information figure."""
    used = np.array([[7, 0, 0, 0], [5, 5, 0, 0]])
    assert codebook.entropy(used[:1]) == 0.0
    assert codebook.entropy(used[1:]) == 1.0
    many = np.full((1, 1 << 16), 3)
    assert codebook.entropy(many) == pytest.approx(16.0, abs=1e-12)


def test_rows_of_one_codebook_count_as_one():
    """As of VQ-VAE-2: the fast codes fill two rows, each of which shows half of what is used."""
    by_group = np.zeros((4, 3, 8), np.int64)
    by_group[:, 0, :4] = 4
    by_group[:, 1, :4] = 4
    by_group[:, 2, 4:] = 4
    options = {"seconds": 16.0, "nominal": 40.0, "unit": "u"}
    found = named(codebook.describe(by_group, (4, 8, 8), books=(0, 1, 1), **options))
    assert found["usage"].value == 1.0
    assert found["entropy"].value == pytest.approx(2.0 + 3.0 + 3.0)
    assert found["unigram_bitrate"].value == pytest.approx(64 / 16 * 8.0)
    apart = named(codebook.describe(by_group, (4, 8, 8), **options))
    assert apart["usage"].value == pytest.approx(12 / 20)
    train = by_group.sum(axis=0)
    coded = named(codebook.describe(by_group, (4, 8, 8), books=(0, 1, 1), train=train, **options))
    assert coded["coded_bitrate"].value == pytest.approx(32.0, rel=1e-3)
