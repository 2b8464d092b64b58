"""A request as the rules see it, and the answer that one of them may give instead of gradio."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class RefusedError(Exception):
    """A request is turned away.

    Args:
        status: of the HTTP answer.
        why: one line for whoever sent it.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


@dataclass(frozen=True)
class Request:
    """The head of an HTTP request.

    Attributes:
        method: GET, POST ...
        path: decoded, below the root path.
        address: of the client.
        headers: by lower-case name; of several of one name the last.
    """

    method: str
    path: str
    address: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def length(self) -> int | None:
        """The stated size of the body (bytes); None if it is not stated as a number."""
        stated = self.headers.get("content-length", "")
        return int(stated) if stated.isdecimal() and len(stated) < 16 else None

    @property
    def is_upload(self) -> bool:
        """Whether it brings files."""
        return self.method == "POST" and self.path.rstrip("/") == "/gradio_api/upload"


def request_of(scope: Scope, *, behind_proxy: bool) -> Request:
    """Return the head of a request; the client is whom the proxy names, if there is one."""
    headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
    client = scope.get("client")
    address = client[0] if client else "unknown"
    if behind_proxy and headers.get("x-forwarded-for"):
        address = headers["x-forwarded-for"].split(",")[-1].strip()[:64]
    return Request(scope["method"], scope["path"], address, headers)
