import asyncio
import json

import pytest

from demo_app.guard import quota
from demo_app.guard.gate import Gate
from demo_app.settings import Settings

HEAD = {"host": "localhost"}
UPLOAD = "/gradio_api/upload"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return quota.Cache(tmp_path_factory.mktemp("cache").resolve(), Settings())


class Inner:
    """Stands for gradio: reads the whole body, then says what it was."""

    def __init__(self, fails=False):
        self.bodies, self.scopes, self.fails = [], [], fails

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        body, more = b"", scope["method"] == "POST"
        while more:
            message = await receive()
            if message["type"] != "http.request":
                raise ConnectionError("/secret/path")
            body += message["body"]
            more = message["more_body"]
        if self.fails:
            raise RuntimeError
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


def ask(
    inner, cache, method="POST", path="/gradio_api/queue/join", parts=(b"{}",), wait=0.0, **more
):
    """Send a request in parts; return status, headers and text."""
    length = {"content-length": str(sum(map(len, parts)))} if method == "POST" else {}
    headers = HEAD | length | {k.replace("_", "-"): v for k, v in more.pop("head", {}).items()}
    gate = more.pop("gate", None) or Gate(inner, cache, Settings(**more))
    scope = {
        "type": "http", "method": method, "path": path, "client": ("9.9.9.9", 1),
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
    }  # fmt: skip
    sent, waiting = [], list(parts)

    async def receive():
        await asyncio.sleep(wait)
        if not waiting:
            await asyncio.sleep(60)
        body = waiting.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(waiting)}

    async def send(message):
        sent.append(message)

    asyncio.run(gate(scope, receive, send))
    assert [m["type"] for m in sent] == ["http.response.start", "http.response.body"]
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"].decode()


def test_a_good_call_passes_with_its_body_and_leaves_with_our_headers(cache):
    inner = Inner()
    status, headers, text = ask(inner, cache, parts=(b'{"da', b'ta": []}'))
    assert (status, text, inner.bodies) == (200, "ok", [b'{"data": []}'])
    assert b"default-src 'self'" in headers[b"content-security-policy"]
    assert headers[b"x-content-type-options"] == b"nosniff"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"method": "DELETE", "parts": ()}, 405),
        ({"head": {"host": "evil"}}, 403),
        ({"head": {"origin": "http://evil"}}, 403),
        ({"head": {"content_length": "999999999"}}, 413),
        ({"head": {"transfer_encoding": "chunked"}}, 411),
        ({"parts": (b'{"path": "/etc/passwd"}',)}, 400),
        ({"wait": 0.2, "request_seconds": 0.1}, 408),
        ({"wait": 0.2, "request_seconds": 0.1, "path": UPLOAD}, 408),
        ({"path": UPLOAD, "parts": (b"filename filename", b" filename"), "max_files": 2}, 413),
    ],
)  # fmt: skip
def test_what_is_refused_never_reaches_gradio_whole(asked, expected, cache):
    inner = Inner()
    status, headers, text = ask(inner, cache, **asked)
    assert status == expected
    assert inner.bodies == []
    assert headers[b"connection"] == b"close"
    assert b"content-security-policy" in headers
    assert "secret" not in text
    assert json.loads(text)["detail"]


def test_an_upload_streams_through(cache):
    inner = Inner()
    assert ask(inner, cache, path=UPLOAD, parts=(b"filename=a", b"b" * 1000))[0] == 200
    assert inner.bodies == [b"filename=a" + b"b" * 1000]


def test_too_many_too_fast_and_the_others_unharmed(cache):
    gate = Gate(Inner(), cache, Settings(requests_per_second=0.001, burst=3))
    found = [ask(None, cache, gate=gate)[0] for _ in range(5)]
    assert found == [200, 200, 200, 429, 429]
    assert ask(None, cache, "GET", "/", (), gate=gate)[0] == 200
    assert ask(None, cache, path="/gradio_api/cancel", gate=gate)[0] == 200


def test_a_full_disk_refuses_uploads(cache, monkeypatch):
    monkeypatch.setattr(cache, "room", lambda size: False)
    assert ask(Inner(), cache, path=UPLOAD)[0] == 507
    assert ask(Inner(), cache, "GET", "/", ())[0] == 200


def test_places_are_given_back_whatever_happens(cache):
    gate = Gate(Inner(fails=True), cache, Settings(uploads=1))
    for _ in range(3):
        with pytest.raises(RuntimeError):
            ask(None, cache, path=UPLOAD, gate=gate)
    assert not gate._uploads._now
    assert not gate._open._now


def test_headers_of_a_proxy_are_believed_behind_one_alone(cache):
    for behind in (False, True):
        inner = Inner()
        head = {"x_forwarded_host": "evil.example", "x_gradio_server": "http://evil.example"}
        ask(inner, cache, "GET", "/", (), head=head, behind_proxy=behind)
        names = {k for k, _ in inner.scopes[0]["headers"]}
        assert (b"x-forwarded-host" in names) is behind
        assert (b"x-gradio-server" in names) is behind


def test_no_other_protocol(cache):
    sent = []

    async def send(message):
        sent.append(message["type"])

    asyncio.run(Gate(Inner(), cache, Settings())({"type": "websocket"}, None, send))
    assert sent == ["websocket.close"]
