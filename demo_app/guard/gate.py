"""The gate: every request passes the rules before gradio sees it, and every answer is dressed."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator

from ..settings import Settings
from . import limits, payload, routes
from .quota import Cache
from .request import App, Message, Receive, RefusedError, Request, Scope, Send, request_of

# The page may load nothing from anywhere else, and no other site may frame it. gradio's own
# scripts are inline in part, and compile themselves.
_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
        "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
        "frame-ancestors 'self'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
_OURS = (OSError, RuntimeError, MemoryError, AssertionError)
_EVENTS = "/gradio_api/queue/data"
_FORWARDED = (b"x-forwarded-", b"forwarded", b"x-gradio-", b"x-direct-url")


class Gate:
    """An ASGI application around gradio's.

    Args:
        app: gradio's.
        cache: where uploads go.
        settings: every limit.
    """

    def __init__(self, app: App, cache: Cache, settings: Settings) -> None:
        self._app, self._cache, self._settings = app, cache, settings
        self._rate = limits.Rate(settings.requests_per_second, settings.burst)
        self._open = limits.AtOnce(
            max(8, settings.connections // 4), "too many open requests from this address"
        )
        self._uploads = limits.AtOnce(settings.uploads, "too many uploads at once: try again")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let gradio answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        request = request_of(scope, behind_proxy=self._settings.behind_proxy)
        answer = _Answer(_mended(send) if request.path == _EVENTS else send)
        try:
            self._check(request)
            with self._counted(request):
                body = await self._body(request, receive)
                body.refused = answer.refuse
                try:
                    await self._app(self._cleaned(scope), body, answer)
                except Exception as error:  # noqa: BLE001  (raised again, if it is ours)
                    if answer.refusal is None:  # else: what it makes of a body that we broke off
                        raise _not_a_call(request, error) from None
            if answer.refusal is not None:
                raise answer.refusal
        except RefusedError as refused:
            await answer.instead(refused)

    def _check(self, request: Request) -> None:
        routes.check_host(request, self._settings)
        routes.check_route(request, self._cache)
        limits.check_size(request, self._settings)
        if request.method == "POST" and not request.path.endswith(("/cancel", "/reset")):
            self._rate.take(request.address)
            if not self._cache.room(request.length or 0):
                raise RefusedError(507, "the demo's disk space is used up: try again in minutes")

    @contextlib.contextmanager
    def _counted(self, request: Request) -> Iterator[None]:
        kinds = [(self._open, request.address)]
        kinds += [(self._uploads, "")] if request.is_upload else []
        with contextlib.ExitStack() as stack:
            for kind, key in kinds:
                kind.enter(key)
                stack.callback(kind.leave, key)
            yield

    async def _body(self, request: Request, receive: Receive) -> "_Body":
        """Return the body: of a call all of it, looked at; of an upload as it comes."""
        files = limits.Files(self._settings.max_files) if request.is_upload else None
        body = _Body(receive, self._settings.request_seconds, files)
        if request.method == "POST" and not request.is_upload:
            payload.check(await body.whole(), self._cache)
        return body

    def _cleaned(self, scope: Scope) -> Scope:
        """Return the scope without headers that only a proxy may set."""
        if self._settings.behind_proxy:
            return scope
        kept = [(k, v) for k, v in scope["headers"] if not k.lower().startswith(_FORWARDED)]
        return {**scope, "headers": kept}


class _Body:
    """The body of a request, on its way: it must be there in time, and may be broken off."""

    def __init__(self, receive: Receive, seconds: float, files: limits.Files | None) -> None:
        self._receive, self._files = receive, files
        self._until = time.monotonic() + seconds
        self._complete = False
        self._again: list[Message] = []
        self.refused: Callable[[RefusedError], None] = _ignore

    async def whole(self) -> bytes:
        """Read it to its end; it is given once more to whoever reads next."""
        data = b""
        while not self._complete:
            message = await self._next()
            data += message.get("body", b"")
        self._again = [{"type": "http.request", "body": data, "more_body": False}]
        return data

    async def __call__(self) -> Message:
        if self._again:
            return self._again.pop()
        if self._complete:
            return await self._receive()  # only whether the client is still there
        try:
            return await self._next()
        except RefusedError as refused:
            self._complete = True
            self.refused(refused)
            return {"type": "http.disconnect"}

    async def _next(self) -> Message:
        left = self._until - time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, left))
        except TimeoutError:
            raise RefusedError(408, "the request took too long to arrive") from None
        if message["type"] != "http.request":
            raise RefusedError(400, "the request was broken off")
        self._complete = not message.get("more_body", False)
        if self._files is not None:
            self._files.see(message.get("body", b""))
        return message


class _Answer:
    """The way back: gradio's answer with our headers, or ours instead of it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._started = self._fault = False
        self.refusal: RefusedError | None = None

    def refuse(self, refusal: RefusedError) -> None:
        """Let whatever gradio still says of this request be dropped."""
        self.refusal = self.refusal or refusal

    async def __call__(self, message: Message) -> None:
        if (self.refusal is not None or self._fault) and not self._started:
            return
        if message["type"] == "http.response.start":
            if _is_of_a_fault(message):  # what raised it follows, and we say it better
                self._fault = True
                return
            self._started = True
            names = {k.lower() for k, _ in message["headers"]}
            ours = [(k.encode(), v.encode()) for k, v in _HEADERS.items()]
            added = [pair for pair in ours if pair[0] not in names]
            message = {**message, "headers": [*message["headers"], *added]}
        await self._send(message)

    async def instead(self, refusal: RefusedError) -> None:
        """Answer in one line; the connection ends, so that no more of the body is read."""
        if self._started:
            return
        self.refusal, self._fault = None, False
        text = json.dumps({"detail": refusal.why, "error": refusal.why}).encode()
        head = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(text)).encode()),
            (b"connection", b"close"),
        ]
        await self({"type": "http.response.start", "status": refusal.status, "headers": head})
        await self({"type": "http.response.body", "body": text})


def _not_a_call(request: Request, error: Exception) -> Exception:
    """Return the refusal of a call that gradio could not even begin; else the error itself.

    It looks names and arguments up without asking whether they are there.
    """
    if request.method != "POST" or request.is_upload or isinstance(error, _OURS):
        return error
    return RefusedError(
        400, "there is no such endpoint, or it takes other arguments: /gradio_api/info has them"
    )


def _is_of_a_fault(message: Message) -> bool:
    """Whether an answer is what Starlette says of an error before it raises it."""
    kind: bytes = dict(message["headers"]).get(b"content-type", b"")
    return bool(message["status"] == 500) and kind.startswith(b"text/plain")


def _mended(send: Send) -> Send:
    """Return a way for gradio's events that gives a cancelled job an end that its page reads.

    It ends one with no data at all, on which its own script fails and shows "Error".
    """

    async def through(message: Message) -> None:
        body = message.get("body", b"")
        if b'"process_completed"' in body:
            body = body.replace(b'"output":{}', b'"output":{"data":[]}')
            message = {**message, "body": body}
        await send(message)

    return through


def _ignore(_: RefusedError) -> None:
    """Do nothing: nobody waits for it yet."""
