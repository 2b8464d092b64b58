"""The server: gradio behind our gate, on our socket, in a folder of its own that goes with it."""

import contextlib
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from audiovq.errors import ConfigError

from .guard import decode, quota
from .guard.gate import Gate
from .settings import Settings

if TYPE_CHECKING:
    import gradio as gr
    import uvicorn

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_START_SECONDS = 60.0
_STOP_SECONDS = 5.0


class Running:
    """A server that answers, until it is closed.

    Attributes:
        url: where, as `http://127.0.0.1:7860/`.
        port: its port.
        cache: folder of the visitors' files.
    """

    def __init__(self, url: str, cache: Path, close: Callable[[], None]) -> None:
        self.url = url
        self.port = int(url.rstrip("/").rpartition(":")[2])
        self.cache = cache
        self._close = close

    def close(self) -> None:
        """Stop it and remove what it stored; a second call does nothing."""
        self._close()

    def __enter__(self) -> "Running":  # noqa: PYI034  (beartype refuses Self here)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def serve(settings: Settings) -> None:
    """Serve the demo until Ctrl-C or SIGTERM; nothing is left behind.

    Raises:
        ConfigError: gradio is missing, or the address cannot be listened on.
    """
    stop = threading.Event()

    def leave(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    with socket_of(settings) as listening:  # a taken port is told before the slow part
        need_gradio()
        from . import app, style  # noqa: PLC0415  (they import gradio)

        before = {s: signal.signal(s, leave) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            with launch(app.build, settings, style.looks(), listening) as running:
                _announce(running, settings)
                stop.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    sys.stderr.write("the demo has stopped\n")
    _leave_at_once()


def launch(
    build: "Callable[[Settings], gr.Blocks]",
    settings: Settings,
    looks: Mapping[str, Any] | None = None,
    listening: socket.socket | None = None,
) -> Running:
    """Start the server in the background.

    Args:
        build: makes the page; called once the environment is ready.
        settings: where to listen, and every limit; port 0 takes any free one.
        looks: `theme`, `css`, `head` and the like, for gradio.
        listening: a socket that is bound already; None: made as settings say.

    Raises:
        ConfigError: gradio is missing, or the address cannot be listened on.
    """
    need_gradio()
    stack = contextlib.ExitStack()
    with contextlib.ExitStack() as failing:
        failing.push(stack)
        bound = listening or stack.enter_context(socket_of(settings))
        root = stack.enter_context(quota.folder())
        stack.enter_context(_environment(root))
        cache = quota.Cache(root / "cache", settings)
        stack.callback(decode.stop_all)
        blocks = build(settings)
        stack.callback(_stop_queue, blocks)
        server = _server(_application(blocks, settings, looks or {}, cache), settings)
        cache.start()
        stack.callback(cache.stop)
        stack.enter_context(_in_background(server, bound))
        failing.pop_all()
    return Running(_url(bound, settings), cache.root, stack.close)


def need_gradio() -> None:
    """Refuse with the name of the extra if gradio is missing; switch its messages home off.

    Raises:
        ConfigError: gradio is not installed.
    """
    os.environ.update(_QUIET)  # before the import, which looks at them
    try:
        import gradio  # noqa: F401, PLC0415
    except ImportError:
        raise ConfigError("the demo needs gradio and matplotlib: install audiovq[demo]") from None


_QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
}


def socket_of(settings: Settings) -> socket.socket:
    """Return a socket that is bound to the settings' address.

    Raises:
        ConfigError: the port is taken, may not be used, or there is no such address.
    """
    where = f"{settings.host}:{settings.port}"
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        made = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"--host {settings.host} is no address: {error.strerror}") from None
    try:
        if os.name == "posix":  # elsewhere it would share a port with whoever has it
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(128)
    except OSError as error:
        made.close()
        raise ConfigError(
            f"cannot listen on {where}: {(error.strerror or str(error)).lower()}; choose another "
            "--port, or 0 for any free one"
        ) from None
    return made


@contextlib.contextmanager
def _environment(root: Path) -> Iterator[None]:
    """Let gradio and all others put their files below one folder, and afterwards elsewhere."""
    names = {
        "GRADIO_TEMP_DIR": str(root / "cache"),
        "GRADIO_EXAMPLES_CACHE": str(root / "cache" / "examples"),
    }
    before = {name: os.environ.get(name) for name in names}
    temporary = tempfile.tempdir
    for part in ("cache", "work"):
        (root / part).mkdir()
    os.environ.update(names)
    tempfile.tempdir = str(root / "work")
    try:
        yield
    finally:
        tempfile.tempdir = temporary
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _application(
    blocks: "gr.Blocks", settings: Settings, looks: Mapping[str, Any], cache: quota.Cache
) -> Gate:
    """Return gradio's application behind the gate, with all that gradio has of its own, too."""
    import gradio as gr  # noqa: PLC0415
    from fastapi import FastAPI  # noqa: PLC0415

    for function in blocks.fns.values():  # all wait in one queue, unless an event says otherwise
        if function.concurrency_limit == "default":
            function.concurrency_id = "jobs"
    blocks.delete_cache = (settings.sweep_seconds, settings.keep_seconds)
    blocks.state_session_capacity = settings.sessions
    blocks.has_launched = True  # or gradio would take paths that were not uploaded
    blocks.queue(max_size=settings.queue, default_concurrency_limit=settings.jobs, api_open=False)
    outer = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    home = Path.home().resolve()
    app = gr.mount_gradio_app(
        outer,
        blocks,
        path="/",
        root_path=settings.root_path or None,
        show_error=False,
        max_file_size=settings.max_upload,
        allowed_paths=[],
        # what is blocked goes before what is allowed, so not where our own files are
        blocked_paths=[] if home in cache.root.parents else [str(home)],
        enable_monitoring=False,
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        footer_links=["api", "settings"],
        **looks,
    )
    return Gate(app, cache, settings)


def _server(app: Gate, settings: Settings) -> "uvicorn.Server":
    import uvicorn  # noqa: PLC0415

    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="on",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=settings.connections,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=16 << 10,
    )
    return _impatient(settings.idle_seconds)(config)


def _impatient(seconds: float) -> "type[uvicorn.Server]":
    """Return a server that hangs up on who takes too long to say what is wanted."""
    import uvicorn  # noqa: PLC0415

    class Impatient(uvicorn.Server):
        _since: dict[Any, float]

        async def on_tick(self, counter: int) -> bool:
            if counter % 10 == 0:
                self._hang_up()
            return await super().on_tick(counter)

        def _hang_up(self) -> None:
            now, before = time.monotonic(), getattr(self, "_since", {})
            cycles = {c: getattr(c, "cycle", None) for c in self.server_state.connections}
            self._since = {
                connection: before.get(connection, now)
                for connection, cycle in cycles.items()
                if cycle is None or cycle.response_complete
            }
            for connection, since in self._since.items():
                if now - since > seconds:
                    connection.transport.close()

    return Impatient


@contextlib.contextmanager
def _in_background(server: "uvicorn.Server", bound: socket.socket) -> Iterator[None]:
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it would speak of every stop
    thread = threading.Thread(
        target=server.run, args=([bound],), daemon=True, name="audiovq-demo-server"
    )
    thread.start()
    until = time.monotonic() + _START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > until:
            raise ConfigError("the demo's server did not start; see the lines above")
        time.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(_STOP_SECONDS)


def _stop_queue(blocks: "gr.Blocks") -> None:
    """Let jobs and open pages end, so that the server can."""
    blocks._queue.close()  # type: ignore[no-untyped-call]  # noqa: SLF001
    blocks.is_running = False


def _url(bound: socket.socket, settings: Settings) -> str:
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    shown = f"[{name}]" if ":" in name else name
    return f"http://{shown}:{bound.getsockname()[1]}/"


def _announce(running: Running, settings: Settings) -> None:
    if settings.host not in _LOOPBACK:
        sys.stderr.write(
            f"note: --host {settings.host}: whoever can reach this machine over the network can "
            "use the demo and its processor time; there is no password, and nothing is encrypted\n"
        )
    sys.stderr.write(f"the demo is at {running.url} (Ctrl-C stops it)\n")
    sys.stderr.flush()


def _leave_at_once() -> None:
    """End the process if a job is still computing: it cannot be interrupted, and nobody waits."""
    busy = [t for t in threading.enumerate() if t is not threading.main_thread() and not t.daemon]
    if busy:
        sys.stderr.flush()
        sys.stdout.flush()
        os._exit(0)
