import torch
from hypothesis import given
from hypothesis import strategies as st

from demo_app.work.streams import apart, rows_of, together

BOOKS = st.sampled_from([(0,), (0, 1), (0, 1, 1), (0, 0, 1, 1, 1), (0, 1, 2, 3), (0, 1, 1, 1, 1)])


@given(BOOKS, st.integers(1, 9))
def test_streams_are_the_rows_in_time_order(books, frames):
    codes = torch.randint(0, 50, (len(books), frames))
    streams = apart(codes, books)
    slow = [
        [int(codes[k, t]) for t in range(frames) for k in range(len(books)) if books[k] == book]
        for book in sorted(set(books))
    ]
    assert [s.tolist() for s in streams] == slow
    assert torch.equal(together(streams, books), codes)


def test_rows_of_a_faster_stream():
    assert rows_of((0, 1, 1)) == [[0], [1, 2]]
