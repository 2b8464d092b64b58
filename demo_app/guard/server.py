"""The server under the gate: our socket, bounded connections, no patience with silence."""

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from audiovq.errors import ConfigError

from ..settings import Settings
from .request import App

if TYPE_CHECKING:
    import uvicorn

_START_SECONDS = 120.0
_STOP_SECONDS = 5.0


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


def server_of(app: App, settings: Settings) -> "uvicorn.Server":
    """Return a server of the gate, with limits on connections."""
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
def in_background(server: "uvicorn.Server", bound: socket.socket) -> Iterator[None]:
    """Run a server on a bound socket in a thread of its own, and end it.

    Raises:
        ConfigError: it did not start.
    """
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
