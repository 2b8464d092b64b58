import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.coding.range import MAX_TOTAL, Decoder, Encoder
from audiovq.errors import AudioError, AudioVQError


def written(symbols):
    encoder = Encoder()
    for before, share, total in symbols:
        encoder.push(before, share, total)
    return encoder.finish()


def read(data, symbols):
    """Decode with the tables of known symbols; whether each target lies in its symbol's part."""
    decoder, found = Decoder(data), []
    for before, share, total in symbols:
        target = decoder.target(total)
        found.append(before <= target < before + share)
        if not found[-1]:
            return found
        decoder.pop(before, share, total)
    decoder.finish()
    return found


def exact_part(symbols):
    """The part of [0, 1) that an arithmetic coder without rounding gives to symbols."""
    low, width = Fraction(0), Fraction(1)
    for before, share, total in symbols:
        low, width = low + width * Fraction(before, total), width * Fraction(share, total)
    return low, width


def ideal_bits(symbols):
    return math.fsum(math.log2(total / share) for _, share, total in symbols)


@st.composite
def symbols_of(draw):
    found = []
    for _ in range(draw(st.integers(0, 30))):
        total = draw(st.integers(1, 50) | st.integers(1, MAX_TOTAL))
        share = draw(st.integers(1, total) | st.just(1) | st.just(total))
        before = draw(st.integers(0, total - share) | st.just(total - share) | st.just(0))
        found.append((before, share, total))
    return found


@given(symbols_of())
@settings(deadline=None, max_examples=100)
def test_symbols_come_back_and_cost_their_bits_and_no_more(symbols):
    data = written(symbols)
    assert all(read(data, symbols))
    assert len(data) <= ideal_bits(symbols) / 8 + 1 + 1e-3 * len(symbols)


@given(st.binary(max_size=40))
@settings(deadline=None, max_examples=100)
def test_it_is_the_exact_coder_where_nothing_is_rounded(codes):
    """With totals of 256 and the range whole bytes of it, the number lies in the exact part."""
    symbols = [(code, 1, 256) for code in codes]
    low, width = exact_part(symbols)
    data = written(symbols)
    number = Fraction(int.from_bytes(data, "big"), 256 ** len(data))
    assert low <= number < low + width
    assert data.rstrip(b"\0") == codes.rstrip(b"\0")


@given(symbols_of())
@settings(deadline=None, max_examples=100)
def test_the_number_is_near_the_exact_coder_s(symbols):
    """Rounding moves a part by less than total / 2^56 of what was left, at each symbol."""
    data, slack, width = written(symbols), Fraction(0), Fraction(1)
    number = Fraction(int.from_bytes(data, "big"), 256 ** len(data))
    for _, share, total in symbols:
        slack += width * Fraction(total, 1 << 56)
        width *= Fraction(share, total)
    low, width = exact_part(symbols)
    assert low - slack <= number <= low + width + slack


def test_a_long_message_costs_its_entropy():
    generator = np.random.default_rng(0)
    own = np.array([1, 3, 70, 1000, 2**20, 5])
    chances = own / own.sum()
    codes = generator.choice(len(own), 8000, p=[0.05, 0.1, 0.15, 0.2, 0.4, 0.1])
    upto = own.cumsum()
    symbols = [(int(upto[c] - own[c]), int(own[c]), int(upto[-1])) for c in codes]
    data = written(symbols)
    assert all(read(data, symbols))
    assert 0 <= 8 * len(data) + np.log2(chances[codes]).sum() < 9


def test_carries_run_through_many_bytes():
    """A third of the range again and again keeps the number at a byte's edge, then passes it."""
    nearly = [(1, 1, 3)] * 2000  # 0.0101010... in base 3: 1/2 from below
    for last in ((0, 1, 3), (2, 1, 3)):
        symbols = [(127, 2, 256), *nearly, last]
        assert all(read(written(symbols), symbols))
    edge = [(255, 1, 256)] * 50
    for before in (0, 254, 255):
        symbols = [(0, 1, 2), *edge, (before, 1, 256), (2, 1, 3)]
        assert all(read(written(symbols), symbols))


def test_nothing_is_no_bytes_and_certainty_is_free():
    assert written([]) == b""
    assert written([(0, 7, 7)] * 1000) == b""
    assert all(read(b"", [(0, 7, 7)] * 1000))


@given(st.binary(max_size=30), st.lists(st.integers(1, MAX_TOTAL), max_size=100))
@settings(deadline=None, max_examples=100)
def test_any_bytes_give_symbols_or_an_error(data, totals):
    decoder = Decoder(data)
    try:
        for total in totals:
            target = decoder.target(total)
            assert 0 <= target < total
            decoder.pop(target, 1, total)
        decoder.finish()
    except AudioVQError:
        pass


def test_bytes_that_end_too_soon_or_too_late_are_an_error():
    symbols = [(77, 1, 256)] * 100
    data = written(symbols)
    decoder = Decoder(data[:80])
    with pytest.raises(AudioError, match="end before"):
        for _ in range(100):
            target = decoder.target(256)
            decoder.pop(target, 1, 256)
    with pytest.raises(AudioError, match="are left"):
        read(data + bytes(9), symbols)
