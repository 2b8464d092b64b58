from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.errors import ConfigError
from demo_app.work.changes import Span, erase, repeat, reverse, smooth, span_of, swap
from demo_app.work.streams import apart

BOOKS = st.sampled_from([(0,), (0, 1), (0, 1, 1), (0, 1, 1, 1, 1)])


@st.composite
def codes_and_span(draw, most=4):
    books, frames = draw(BOOKS), draw(st.integers(1, 12))
    values = st.lists(st.integers(0, most), min_size=frames, max_size=frames)
    codes = torch.tensor([draw(values) for _ in books])
    start = draw(st.integers(0, frames - 1))
    return codes, Span(start, draw(st.integers(start + 1, frames))), books


@given(codes_and_span(), st.data())
def test_swap_is_its_own_inverse_and_moves_whole_columns(case, data):
    codes, span, _ = case
    frames = codes.shape[1]
    places = [(a, b) for a in range(frames) for b in range(a + 1, frames + 1)]
    apart_ = [p for p in places if p[1] <= span.start or p[0] >= span.stop]
    if not apart_:
        with pytest.raises(ConfigError, match="overlap"):
            swap(codes, span, Span(0, frames))
        return
    other = Span(*data.draw(st.sampled_from(apart_)))
    found = swap(codes, span, other)
    first, second = sorted([span, other], key=lambda s: s.start)
    columns = list(codes.T.tolist())
    a, b = columns[first.start : first.stop], columns[second.start : second.stop]
    slow = columns[: first.start] + b + columns[first.stop : second.start] + a
    assert found.T.tolist() == slow + columns[second.stop :]
    assert torch.equal(swap(codes, other, span), found)
    shift = second.frames - first.frames
    back = swap(
        found, Span(first.start, first.start + second.frames),
        Span(second.start + shift, second.stop),
    )  # fmt: skip
    assert torch.equal(back, codes)


@given(codes_and_span(), st.integers(1, 4))
def test_repeat_and_erase(case, times):
    codes, span, _ = case
    found = repeat(codes, span, times)
    columns = list(codes.T.tolist())
    middle = columns[span.start : span.stop]
    assert found.T.tolist() == columns[: span.start] + middle * times + columns[span.stop :]
    if times > 1:  # what was added can be cut out again
        added = Span(span.stop, span.stop + (times - 1) * span.frames)
        assert torch.equal(erase(found, added), codes)
    if span.frames == codes.shape[1]:
        with pytest.raises(ConfigError, match="nothing would be left"):
            erase(codes, span)
    else:
        assert erase(codes, span).T.tolist() == columns[: span.start] + columns[span.stop :]


@given(codes_and_span())
def test_reverse_turns_every_stream_around_in_time(case):
    codes, span, books = case
    found = reverse(codes, span, books)
    for before, after in zip(apart(codes, books), apart(found, books), strict=True):
        per = len(before) // codes.shape[1]
        a, b = span.start * per, span.stop * per
        assert after.tolist() == [*before[:a], *reversed(before[a:b]), *before[b:]]
    assert torch.equal(reverse(found, span, books), codes)


@given(codes_and_span(most=2), st.sampled_from([1, 3, 5, 7, 99]))
@settings(max_examples=200)
def test_smooth_takes_the_commonest_neighbour(case, width):
    codes, span, books = case
    found = smooth(codes, span, width, books)
    for before, after in zip(apart(codes, books), apart(found, books), strict=True):
        per = len(before) // codes.shape[1]
        row = before.tolist()
        for t, value in enumerate(after.tolist()):
            if not span.start * per <= t < span.stop * per:
                assert value == row[t]
                continue
            counts = Counter(row[max(0, t - width // 2) : t + width // 2 + 1])
            best = [v for v, n in counts.items() if n == max(counts.values())]
            assert value == (row[t] if row[t] in best else min(best))


@pytest.mark.parametrize("width", [0, 2, -1, 101])
def test_widths_that_are_refused(width):
    with pytest.raises(ConfigError, match="odd number"):
        smooth(torch.zeros(1, 3, dtype=torch.int64), Span(0, 1), width, (0,))
    with pytest.raises(ConfigError, match="at least once"):
        repeat(torch.zeros(1, 3, dtype=torch.int64), Span(0, 1), 0)


@given(st.integers(1, 500), st.sampled_from([12.5, 50.0, 1600.0, 16000 / 320]), st.data())
def test_a_span_of_whole_frames_is_those_frames(frames, rate, data):
    start = data.draw(st.integers(0, frames - 1))
    stop = data.draw(st.integers(start + 1, frames))
    assert span_of(start / rate, stop / rate, rate, frames) == Span(start, stop)
    touched = span_of((start + 0.5) / rate, (stop + 0.5) / rate, rate, frames)
    assert touched == Span(start, min(stop + 1, frames))


@pytest.mark.parametrize(
    ("start", "end"),
    [(1.0, 1.0), (2.0, 1.0), (-0.1, 1.0), (10.0, 11.0), (float("nan"), 1.0), (0.0, float("nan"))],
)
def test_times_that_hold_nothing(start, end):
    with pytest.raises(ConfigError, match="holds nothing"):
        span_of(start, end, 50.0, 500)
