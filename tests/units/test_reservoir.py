import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st

from audiovq.units._reservoir import Reservoir


@given(
    rows=st.integers(0, 6000),
    capacity=st.integers(1, 3000),
    cuts=st.lists(st.integers(0, 6000), max_size=4),
    seed=st.integers(0, 99),
)
def test_it_keeps_the_lowest_hashes_in_whatever_order_they_come(rows, capacity, cuts, seed):
    generator = torch.Generator().manual_seed(seed)
    hashes = torch.randperm(rows, generator=generator) - rows // 2
    values = hashes.unsqueeze(1) * torch.tensor([1.0, -2.0])
    kept = Reservoir(capacity, 2)
    edges = [0, *sorted(min(c, rows) for c in cuts), rows]
    for a, b in itertools.pairwise(edges):
        kept.add(hashes[a:b], values[a:b])
        if a % 2:
            kept.settle()
    found, its = kept.settle()
    assert torch.equal(found, hashes.sort().values[:capacity])
    assert torch.equal(its, found.unsqueeze(1) * torch.tensor([1.0, -2.0]))


def test_rows_above_a_limit_are_never_held():
    kept = Reservoir(10, 1, below=50)
    kept.add(torch.arange(100), torch.zeros(100, 1))
    assert kept.settle()[0].tolist() == list(range(10))
    assert kept.below == 9  # only a lower hash can still get in
    kept = Reservoir(80, 1, below=50)
    kept.add(torch.arange(100), torch.zeros(100, 1))
    assert len(kept.settle()[0]) == 50
