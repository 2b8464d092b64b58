import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_app.guard import payload, quota
from demo_app.guard.request import RefusedError
from demo_app.settings import Settings


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return quota.Cache(tmp_path_factory.mktemp("cache").resolve(), Settings())


def status(value, cache):
    try:
        payload.check(value if isinstance(value, bytes) else json.dumps(value).encode(), cache)
    except RefusedError as error:
        return error.status
    return None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab/.", max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "meta"]), inner, max_size=3)
    ),
    max_leaves=12,
)
FOREIGN = st.sampled_from(
    ["/etc/passwd", "http://127.0.0.1/x.wav", "https://example.org/x.wav", "../x", "x.wav", "",
     "file:///etc/passwd", "data:audio/wav;base64,AAAA", 7, [], {}]
)  # fmt: skip


@given(value=VALUES, foreign=FOREIGN, data=st.data())
def test_a_foreign_path_is_found_wherever_it_is(cache, value, foreign, data):
    assert status(value, cache) is None
    planted = {"path": foreign}
    for _ in range(data.draw(st.integers(0, 3))):
        kind = data.draw(st.booleans())
        planted = [value, planted] if kind else {"b": value, "a": planted}
    assert status(planted, cache) == 400


def test_a_visitors_own_upload_is_taken(cache):
    own = {"path": str(cache.root / "ab" / "x.wav"), "url": "http://anything", "meta": {}}
    assert status({"data": [own, 1, None]}, cache) is None
    assert status({"data": [{"path": None, "a": 1}]}, cache) is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", None),
        (b"{", 400),
        (b"\xff", 400),
        (b"[" * 100_000, 400),
        (b'{"data": [{"__type__": "update", "visible": true}]}', 400),
        (b'{"data": [{"url": "http://x/y.wav", "meta": {"_type": "gradio.FileData"}}]}', 400),
        (b"[" + b"0," * 100_000 + b"0]", 413),
    ],
)
def test_what_is_no_call_is_refused(cache, body, expected):
    assert status(body, cache) == expected
