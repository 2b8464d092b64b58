import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq import windows
from audiovq.windows import CORES, Geometry


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5000))
def test_a_plan_covers_every_frame_once_in_few_shapes(frames):
    plan = windows.plan(frames)
    assert [t for w in plan for t in range(w.start, w.start + w.real)] == list(range(frames))
    assert all(w.real <= w.core and w.core in CORES for w in plan)
    assert all(w.core == CORES[-1] == w.real for w in plan[:-1])


def moving_sum(left, right, r):
    """A toy network: frame t is the sum over frames t - left .. t + right of r samples each."""

    def process(x, mask):
        per_frame = x.unflatten(-1, (-1, r)).sum(-1)
        assert mask is None or torch.equal(per_frame * mask, per_frame)  # zeros outside the item
        padded = torch.nn.functional.pad(per_frame, (left, right))
        return padded.unfold(-1, left + 1 + right, 1).sum(-1)

    return process, Geometry(left, right, r, 1)


cases = st.tuples(st.integers(1, 1700), st.integers(0, 3), st.integers(0, 3), st.integers(1, 3))


@settings(max_examples=40, deadline=None)
@given(cases, st.data())
def test_windows_and_streams_equal_the_whole(case, data):
    frames, left, right, r = case
    samples = frames * r - data.draw(st.integers(0, r - 1))
    x = torch.randint(-9, 9, (1, 1, samples)).double()
    process, geometry = moving_sum(left, right, r)
    whole = process(torch.nn.functional.pad(x, (0, frames * r - samples)), None)
    assert torch.equal(windows.run(x, frames, process, geometry), whole)
    size = data.draw(st.integers(1, samples))
    assert torch.equal(
        torch.cat(list(windows.stream(x.split(size, -1), process, geometry)), -1), whole
    )


def test_grouped_windows_equal_one_by_one():
    process, geometry = moving_sum(2, 1, 3)
    items = [(torch.randn(1, 1, n * 3).double(), n) for n in (1, 33, 700, 1300, 512, 40)]
    calls = []

    def counted(x, mask):
        calls.append(len(x))
        return process(x, mask)

    grouped = windows.run_grouped(items, counted, geometry, batch_size=4)
    for (x, n), y in zip(items, grouped, strict=True):
        assert torch.equal(y, windows.run(x, n, process, geometry))
    assert set(calls) == {4}  # always the same shape, whatever is in it


def test_a_stream_holds_a_window_and_its_context_only():
    process, geometry = moving_sum(3, 3, 10)
    held = []

    def blocks():
        for _ in range(400):
            yield torch.randn(1, 1, 100)
            held.append(0)

    out = windows.stream(blocks(), process, geometry)
    first = next(out)
    assert first.shape[-1] == CORES[-1]
    assert len(held) * 100 <= (CORES[-1] + 3 + 10) * 10  # read no further than it needs


def test_an_empty_stream_gives_nothing():
    process, geometry = moving_sum(1, 1, 2)
    assert list(windows.stream([], process, geometry)) == []
