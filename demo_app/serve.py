"""The server: gradio behind our gate, on our socket, in a folder of its own that goes with it."""

import contextlib
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from audiovq.errors import ConfigError

from .guard import decode, quota
from .guard.gate import Gate
from .guard.server import in_background, server_of, socket_of
from .settings import Settings

if TYPE_CHECKING:
    import gradio as gr

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_QUIET = {  # what gradio and its libraries would otherwise tell others, or ask them
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    # of its statistics, which nobody reads, it would import pandas in the first answer
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(1 << 60),
    "GRADIO_ANALYTICS_MAX_EVENTS": "1",
}


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

    os.environ.update(_QUIET)  # before gradio is imported, which looks at them
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
        server = server_of(_application(blocks, settings, looks or {}, cache), settings)
        cache.start()
        stack.callback(cache.stop)
        stack.enter_context(in_background(server, bound))
        failing.pop_all()
    return Running(_url(bound, settings), cache.root, stack.close)


def need_gradio() -> None:
    """Refuse with the name of the extra if gradio is missing.

    Raises:
        ConfigError: gradio is not installed.
    """
    try:
        import gradio  # noqa: F401, PLC0415
    except ImportError:
        raise ConfigError("the demo needs gradio and matplotlib: install audiovq[demo]") from None


@contextlib.contextmanager
def _environment(root: Path) -> Iterator[None]:
    """Let gradio and all others put their files below one folder, and afterwards elsewhere."""
    ours = _QUIET | {
        "GRADIO_TEMP_DIR": str(root / "cache"),
        "GRADIO_EXAMPLES_CACHE": str(root / "cache" / "examples"),
    }
    before = {name: os.environ.get(name) for name in ours}
    temporary = tempfile.tempdir
    for part in ("cache", "work"):
        (root / part).mkdir()
    os.environ.update(ours)
    tempfile.tempdir = str(root / "work")
    try:
        need_gradio()
        from gradio import routes  # noqa: PLC0415

        if hasattr(routes, "DEFAULT_TEMP_DIR"):  # set at the import; a folder is made there
            routes.DEFAULT_TEMP_DIR = ours["GRADIO_TEMP_DIR"]
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
    blocks.delete_cache = None  # gradio's clean-up ends for good if files come meanwhile
    cache.known = blocks.temp_file_sets
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
