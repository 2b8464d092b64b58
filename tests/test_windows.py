import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq import windows
from audiovq.windows import Geometry

WIDTHS = (32, 48, 64, 96, 128)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5000), st.integers(0, 9), st.integers(0, 9))
def test_a_plan_covers_every_frame_once_with_its_context(frames, left, right):
    plan = Geometry(left, right, 1, 1).plan(frames, 128)
    assert [t for w in plan for t in range(w.start, w.stop)] == list(range(frames))
    assert all(w.first == max(0, w.start - left) for w in plan)
    assert all(w.end == min(frames, w.stop + right) for w in plan[:-1])
    assert all(w.frames == 128 for w in plan[:-1])
    assert plan[-1].end == frames
    assert plan[-1].frames <= 128


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 200), st.integers(0, 200), st.integers(1, 2000))
def test_widths_leave_most_of_a_window_to_what_is_wanted(left, right, hop):
    widths = Geometry(left, right, 1, 1).widths(hop)
    assert list(widths) == sorted(set(widths))
    assert widths[0] >= 1
    assert widths[-1] >= 4 * (left + right)


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
    assert torch.equal(windows.run(x, frames, process, geometry, WIDTHS), whole)
    size = data.draw(st.integers(1, samples))
    assert torch.equal(
        torch.cat(list(windows.stream(x.split(size, -1), process, geometry, WIDTHS)), -1), whole
    )


def test_grouped_windows_equal_one_by_one():
    process, geometry = moving_sum(2, 1, 3)
    items = [(torch.randn(1, 1, n * 3).double(), n) for n in (1, 33, 700, 1300, 512, 40)]
    calls = []

    def counted(x, mask):
        calls.append(len(x))
        return process(x, mask)

    grouped = windows.run_grouped(items, counted, geometry, WIDTHS, batch_size=4)
    for (x, n), y in zip(items, grouped, strict=True):
        assert torch.equal(y, windows.run(x, n, process, geometry, WIDTHS))
    assert set(calls) == {4}  # always the same shape, whatever is in it


def test_a_stream_holds_a_window_and_its_context_only():
    process, geometry = moving_sum(3, 3, 10)
    held = []

    def blocks():
        for _ in range(400):
            yield torch.randn(1, 1, 100)
            held.append(0)

    out = windows.stream(blocks(), process, geometry, WIDTHS)
    first = next(out)
    assert first.shape[-1] == WIDTHS[-1] - 3
    assert len(held) * 100 <= (WIDTHS[-1] + 3 + 10) * 10  # read no further than it needs


def test_an_empty_stream_gives_nothing():
    process, geometry = moving_sum(1, 1, 2)
    assert list(windows.stream([], process, geometry, WIDTHS)) == []
