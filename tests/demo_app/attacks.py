"""Requests that someone with bad intentions sends; each says what came back.

A canary lies where no visitor may read, and a listener waits for the server to call it.
"""

import http.server
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from demo_app.serve import Running
from tests.demo_app import bombs
from tests.demo_app.small import Visitor, file_at, tone

CANARY = "canary-5f0c2e-never-to-be-served"


class Listener:
    """An address on this machine that counts who calls."""

    def __init__(self) -> None:
        outer = self
        self.calls: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.calls.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(tone())

            def log_message(self, *_) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/x.wav"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Scene:
    """What an attack is given."""

    visitor: Visitor
    running: Running
    canary: Path
    listener: Listener
    settings: dict = field(default_factory=dict)

    def get(self, path: str, **headers) -> tuple[int, str]:
        """Ask for a path exactly as it is spelled."""
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        return self.raw("GET", path, named)

    def raw(self, method: str, path: str, headers=None, body: bytes = b"") -> tuple[int, str]:
        """Send a request byte by byte: clients tidy paths up."""
        sent = {"Host": f"127.0.0.1:{self.running.port}", "Connection": "close"} | (headers or {})
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in sent.items()), "", ""]
        with socket.create_connection(("127.0.0.1", self.running.port), timeout=20) as connection:
            connection.sendall("\r\n".join(lines).encode("latin-1") + body)
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        head, _, text = answer.partition(b"\r\n\r\n")
        status = int(head.split()[1]) if head else 0
        return status, (head + text).decode("utf-8", "replace")

    def call(self, value) -> tuple[int, str]:
        return self.visitor.call("measure", value)

    def post(self, path: str, body: bytes = b"{}", **headers) -> tuple[int, str]:
        kind = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        named = {k.replace("_", "-").title(): v for k, v in headers.items()}
        return self.raw("POST", path, kind | named, body)

    def form(self, *files: tuple[str, bytes], **headers) -> tuple[int, str]:
        parts = [("files", f) for f in files]
        done = self.visitor.http.post(f"{self.visitor.api}/upload", files=parts, headers=headers)
        return done.status_code, done.text

    def stored(self, name: str, data: bytes) -> tuple[int, str]:
        """Upload a file, and ask for it back."""
        status, text = self.form((name, data))
        if status != 200:
            return status, text
        return self.get(f"/gradio_api/file={text[2:-2]}")


API = "/gradio_api"
Attack = Callable[[Scene], tuple[int, str]]
ATTACKS: dict[str, Attack] = {
    # files of the server
    "a file by its path": lambda s: s.get(f"{API}/file={s.canary}"),
    "a file, relative": lambda s: s.get(f"{API}/file=../../../../..{s.canary}"),
    "a file, out of the cache": lambda s: s.get(f"{API}/file={s.running.cache}/../../{s.canary}"),
    "a file, encoded": lambda s: s.get(f"{API}/file=" + str(s.canary).replace("/", "%2f")),
    "a file, encoded twice": lambda s: s.get(f"{API}/file=" + str(s.canary).replace("/", "%252f")),
    "a file by its URL": lambda s: s.get(f"{API}/file=file://{s.canary}"),
    "a file of another machine": lambda s: s.get(f"{API}/file=\\\\evil\\share\\x.wav"),
    "a file, the old way": lambda s: s.get(f"{API}/file/{s.canary}"),
    "the assets' parent": lambda s: s.get(f"/assets/../../../../../../../..{s.canary}"),
    "the assets' parent, encoded": lambda s: s.get("/static/%2e%2e/%2e%2e/%2e%2e/config.py"),
    "a component's file": lambda s: s.get(f"{API}/custom_component/1/server/example/..%2fx"),
    "the cache's lock": lambda s: s.get(f"{API}/file={s.running.cache.parent}/lock"),
    # addresses in a request
    "an address to fetch": lambda s: s.get(f"{API}/file={s.listener.url}"),
    "an address to pass on": lambda s: s.get(f"{API}/proxy={s.listener.url}"),
    "a cloud's own address": lambda s: s.get(f"{API}/file=http://169.254.169.254/latest/meta.wav"),
    "a path in a call": lambda s: s.call(file_at(str(s.canary))),
    "an address in a call": lambda s: s.call(file_at(s.listener.url)),
    "an address beside no path": lambda s: s.call(file_at("", url=s.listener.url)),
    "a stream in a call": lambda s: s.call(file_at(str(s.canary), is_stream=True)),
    "a bare path in a call": lambda s: s.call(str(s.canary)),
    "a path in the old call": lambda s: s.post(
        f"{API}/run/measure", b'{"data": [{"path": "%s"}]}' % str(s.canary).encode()
    ),
    "a path in the new call": lambda s: s.post(
        f"{API}/call/v2/measure", b'{"path": {"path": "%s"}}' % str(s.canary).encode()
    ),
    # what the demo does not have
    "a component's method": lambda s: s.post(
        f"{API}/component_server",
        b'{"data": "/", "component_id": 1, "fn_name": "ls","session_hash": "x"}',
    ),
    "monitoring": lambda s: s.get("/monitoring/summary"),
    "a login that leads away": lambda s: s.get("/login/huggingface?_target_url=http://evil"),
    "a stored page": lambda s: s.get(f"{API}/deep_link?session_hash=x"),
    "the reloader": lambda s: s.get(f"{API}/dev/reload"),
    # markup
    "HTML as a recording": lambda s: s.stored("x.html", b"<script>alert(1)</script>"),
    "SVG as a recording": lambda s: s.stored("x.svg", b"<svg onload='alert(1)'/>"),
    "a change of the page": lambda s: s.call({"__type__": "update", "value": str(s.canary)}),
    # too much
    "an upload too large": lambda s: s.form(("x.wav", bytes(s.settings["max_upload"] + 99_999))),
    "an upload of unknown size": lambda s: s.post(
        f"{API}/upload", b"5\r\nhello\r\n0\r\n\r\n", transfer_encoding="chunked"
    ),
    "many small files": lambda s: s.form(*((f"{i}.wav", b"x") for i in range(30))),
    "a call too large": lambda s: s.call("x" * (2 << 20)),
    "a call too deep": lambda s: s.post(f"{API}/call/measure", b"[" * 200_000),
    "many ranges": lambda s: s.raw(
        "GET", f"{API}/file={s.running.cache}/x.wav", {"Range": "bytes=" + "0-,1-," * 900}
    ),
    "headers without end": lambda s: s.get("/", x_long="x" * (64 << 10)),
    # other sites
    "a name that points here": lambda s: s.raw("GET", "/", {"Host": "evil.example"}),
    "another site's page": lambda s: s.post(f"{API}/queue/join", origin="http://evil.example"),
    "a page without a site": lambda s: s.post(f"{API}/queue/join", origin="null"),
    "another method": lambda s: s.raw("TRACE", "/"),
    "two lengths": lambda s: s.raw(
        "POST", f"{API}/queue/join", {"Content-Length": "2", "Transfer-Encoding": "chunked"}, b"{}"
    ),
    # recordings
    "a recording of 1024 channels": lambda s: s.visitor.measure(
        bombs.wav_header(channels=1024, stated=2048 * 16, present=2048 * 16)
    ),
    "a recording of 2 GHz": lambda s: s.visitor.measure(bombs.wav_header(rate=2_000_000_000)),
    "a recording that lies": lambda s: s.visitor.measure(bombs.wav_header(stated=0x7FFFEFFE)),
}


def was_refused(status: int, text: str) -> bool:
    """Whether an answer is a refusal: by its status, or as the event of a call."""
    return status in range(400, 512) or (status == 200 and "event: error" in text)
