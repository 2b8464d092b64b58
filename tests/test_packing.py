import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq import packing, windows
from audiovq.packing import Spacing
from audiovq.windows import Geometry
from tests.test_windows import WIDTHS, moving_sum


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=40),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(1, 8),
)
def test_packed_windows_equal_one_by_one(sizes, left, right, step):
    process, geometry = moving_sum(left, right, 2)
    items = [(torch.randint(-9, 9, (1, 1, 2 * n)).double(), n) for n in sizes]
    seen = []

    def counted(x, mask):
        assert len(x) == 1
        seen.append(x.shape[-1] // 2)
        return process(x, mask)

    spacing = Spacing(max(left, right), step)
    packed = packing.run(items, counted, geometry, WIDTHS, spacing)
    for (x, n), y in zip(items, packed, strict=True):
        assert torch.equal(y, windows.run(x, n, process, geometry, WIDTHS))
    assert set(seen) <= set(WIDTHS)


def test_packing_fills_windows():
    geometry = Geometry(3, 3, 1, 1)
    jobs = [(i, w) for i in range(400) for w in geometry.plan(30, 128)]
    bins = packing._pack(jobs, 128, Spacing(1, 1))
    assert [[p.at for p in bin_] for bin_ in bins] == [[0, 31, 62, 93]] * 100
    assert sorted(p.item for bin_ in bins for p in bin_) == list(range(400))
    uneven = [(i, w) for i in range(300) for w in geometry.plan(1 + i % 100, 128)]
    bins = packing._pack(uneven, 128, Spacing(1, 4))
    taken = [p.window.frames for bin_ in bins for p in bin_]
    assert len(taken) == 300
    assert sum(taken) > 0.8 * 128 * len(bins)
    for bin_ in bins:
        assert all(p.at % 4 == 0 for p in bin_)
        ends = [p.at + p.window.frames for p in bin_]
        assert all(p.at > end for p, end in zip(bin_[1:], ends, strict=False))
        assert ends[-1] <= 128
