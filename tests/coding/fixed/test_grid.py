import numpy as np
import pytest
import torch

from audiovq.coding.fixed._grid import LIMIT, Linear, limited, rounded, values
from audiovq.errors import CheckpointError


def whole(shape, generator, size):
    return torch.randint(-size, size + 1, shape, generator=generator).double()


def test_sums_are_exact_in_any_order_and_batch_at_the_largest_sizes():
    """Against Python's integers, with the largest weights that are taken and values."""
    generator = torch.Generator().manual_seed(0)
    weight = whole((7, 300), generator, 2**20) / 2**16
    weight *= 2**12.9 / weight.abs().sum(1).max()
    layer = Linear(weight, torch.full((7,), -3.0))
    x = whole((64, 300), generator, int(LIMIT)).numpy()
    found = layer(x)
    w, b = layer.weight.astype(int).tolist(), int(layer.bias[0])
    for row, sums in zip(x.astype(int).tolist()[:5], found, strict=False):
        for j in range(7):
            assert int(sums[j]) == sum(v * w[i][j] for i, v in enumerate(row)) + b
    order = torch.randperm(300, generator=generator).numpy()
    assert (x[:, order] @ layer.weight[order] + layer.bias == found).all()
    assert (np.stack([layer(row) for row in x]) == found).all()
    assert (x[:, :100] @ layer.weight[:100] + layer(x * (np.arange(300) >= 100)) == found).all()


def test_weights_whose_sums_could_be_inexact_are_refused():
    row = torch.ones(1, 64)
    Linear(row * 2**6.9)
    for weight in (row * 2**7, row * 2**60):
        with pytest.raises(CheckpointError, match="too large to compress with"):
            Linear(weight)
    with pytest.raises(CheckpointError, match="too large"):
        Linear(row, torch.full((1,), 2.0**25))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(bad):
    with pytest.raises(CheckpointError, match="not finite"):
        Linear(torch.tensor([[1.0, bad]]))
    with pytest.raises(CheckpointError, match="not finite"):
        values(torch.tensor([bad]))


def test_values_are_the_nearest_and_at_most_the_limit():
    assert values(torch.tensor([1.00013, -5000.0, 5000.0])).tolist() == [4097, -LIMIT, LIMIT]
    assert rounded(np.array([1.6, -1.6, 2.0**40]) * 2**16).tolist() == [2, -2, LIMIT]
    assert limited(np.array([LIMIT + 1])).tolist() == [LIMIT]
