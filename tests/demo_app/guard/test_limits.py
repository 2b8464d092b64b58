import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_app.guard import limits
from demo_app.guard.request import RefusedError, Request
from demo_app.settings import Settings

UPLOAD = "/gradio_api/upload"


def post(path="/gradio_api/queue/join", **headers):
    named = {k.replace("_", "-"): v for k, v in headers.items()}
    return Request("POST", path, "1.2.3.4", named)


def refused(check, *arguments) -> int | None:
    try:
        check(*arguments)
    except RefusedError as error:
        return error.status
    return None


def test_bodies_are_of_stated_and_bounded_size():
    few = Settings(max_request=2000, max_upload=100_000)
    assert refused(limits.check_size, post(content_length="2000"), few) is None
    assert refused(limits.check_size, post(content_length="2001"), few) == 413
    assert refused(limits.check_size, post(UPLOAD, content_length="100001"), few) is None
    assert refused(limits.check_size, post(UPLOAD, content_length="200000"), few) == 413
    assert refused(limits.check_size, post(UPLOAD + "/", content_length="200000"), few) == 413
    for stated in (
        {},
        {"content_length": "-1"},
        {"content_length": "9" * 20},
        {"content_length": "10", "transfer_encoding": "chunked"},
    ):
        assert refused(limits.check_size, post(**stated), few) == 411
    assert refused(limits.check_size, Request("GET", "/", "a", {"x": "y" * 20_000}), few) == 431
    with_body = Request("GET", "/", "a", {"content-length": "5"})
    assert refused(limits.check_size, with_body, few) == 400
    assert refused(limits.check_size, Request("GET", "/", "a"), few) is None


@given(
    number=st.integers(0, 5),
    filler=st.binary(max_size=30).filter(lambda b: b"filename" not in b.lower()),
    cuts=st.lists(st.integers(0, 400)),
)
def test_files_are_counted_however_the_body_is_cut(number, filler, cuts):
    body = b"".join(b'..; FileName="x"\r\n' + filler for _ in range(number))
    counter, places = limits.Files(3), sorted({0, len(body), *(c % (len(body) + 1) for c in cuts)})
    found = None
    for a, b in itertools.pairwise(places):
        found = found or refused(counter.see, body[a:b])
    assert (found == 413) == (number > 3)


@given(steps=st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 3)), max_size=60))
def test_the_rate_is_that_of_a_plain_simulation(steps):
    now = [0.0]
    rate = limits.Rate(2.0, 3, lambda: now[0])
    tokens, seen = {"a": 3.0, "b": 3.0}, {"a": 0.0, "b": 0.0}
    for who, wait in steps:
        now[0] += wait
        tokens[who] = min(3.0, tokens[who] + (now[0] - seen[who]) * 2.0)
        seen[who] = now[0]
        if abs(tokens[who] - 1) < 1e-6:
            return  # either is right
        expected = tokens[who] >= 1
        assert (refused(rate.take, who) is None) == expected
        tokens[who] -= expected


def test_it_remembers_a_bounded_number_of_addresses():
    rate = limits.Rate(1.0, 1)
    for i in range(10_000):
        rate.take(str(i))
    assert len(rate._left) <= 4096


def test_so_many_at_once_and_no_trace_afterwards():
    at_once = limits.AtOnce(2, "no")
    at_once.enter("a")
    at_once.enter("a")
    at_once.enter("b")
    with pytest.raises(RefusedError):
        at_once.enter("a")
    for key in "aab":
        at_once.leave(key)
    assert not at_once._now
