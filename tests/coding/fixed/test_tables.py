import hashlib

import numpy as np
import pytest
from scipy.special import ndtr

from audiovq.coding.fixed import _tables as tables
from audiovq.coding.fixed._grid import ONE

NEAREST = 0.5 + 1e-6


def test_functions_are_the_nearest_steps():
    x = np.arange(-20 * ONE, 20 * ONE + 1) / ONE
    place = tables.at(x * ONE, 0)
    for found, exact in (
        (tables.tanh().take(place, mode="clip"), np.tanh(x)),
        (tables.sigmoid().take(place, mode="clip"), 1 / (1 + np.exp(-x))),
        (tables.gelu(x * ONE), x * ndtr(x)),
    ):
        assert np.abs(found - exact * ONE).max() < NEAREST
        assert (found == np.rint(found)).all()


@pytest.mark.parametrize("bits", [20, 24])
def test_exponentials_are_the_nearest_steps_and_end_at_zero(bits):
    found = tables.exponential(bits)
    exact = np.exp(-np.arange(len(found)) / ONE) * 2**bits
    assert np.abs(found - exact).max() < NEAREST
    assert found[0] == 2**bits
    assert found[-1] == 0 < found[-2]


def test_rotations_are_those_of_the_transformer():
    from audiovq.prior._attention import rotations

    for found, exact in zip(
        tables.rotations(2000, 6, 10_000), rotations(2000, 6).numpy(), strict=True
    ):
        assert np.abs(found - exact * 2**16).max() < NEAREST


def test_gates_read_the_value_nearest_to_a_sum():
    sums = np.array([[0.3, -1e9, 2.5, 1e9]]) * 2**28
    found = tables.gated(np.rint(sums)) / ONE
    assert np.abs(found - [[np.tanh(0.3) / (1 + np.exp(-2.5)), -1]]).max() < 3 / ONE


def test_tables_are_those_of_the_first_version_of_the_format():
    """Another table is another format: files written before would no longer decode."""
    digest = hashlib.sha256()
    for table in (
        *(tables.exponential(20), tables.exponential(24), tables.tanh(), tables.sigmoid()),
        tables.gelu(np.arange(-5.0 * ONE, 5 * ONE)),
        *tables.rotations(100, 8, 10_000),
    ):
        digest.update(np.rint(table).astype("<i8").tobytes())
    assert digest.hexdigest() == "c0eb6cc47498bda9163549d4bd8bfe4b4083d232face1c71bba5c57ae41a4d56"
