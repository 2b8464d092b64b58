"""How much one visitor may ask for: sizes, files, requests per second, requests at a time."""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable

from ..settings import Settings
from .request import RefusedError, Request

_ADDRESSES = 4096  # remembered; of more, those seen longest ago are forgotten
_FRAME = 1 << 16  # bytes of an upload that are not the files themselves: names, boundaries


def check_size(request: Request, settings: Settings) -> None:
    """Refuse a body that is too large, or of a size that is not stated, before it is read."""
    if request.method != "POST":
        if request.headers.get("content-length", "0") != "0" or _is_chunked(request):
            raise RefusedError(400, "only a POST request has a body")
        return
    if request.length is None or _is_chunked(request):
        raise RefusedError(411, "the size of the request must be stated (Content-Length)")
    limit = settings.max_upload + _FRAME if request.is_upload else settings.max_request
    if request.length > limit:
        raise RefusedError(
            413, f"the request has {request.length} bytes; up to {limit} are accepted"
        )


def _is_chunked(request: Request) -> bool:
    return "transfer-encoding" in request.headers


class Files:
    """Counts the files of an upload while it arrives.

    Args:
        most: so many are accepted.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._found = 0
        self._end = b""

    def see(self, chunk: bytes) -> None:
        """Look at the next bytes; refuse one file too many."""
        word = b"filename"
        text = self._end + chunk.lower()
        self._found += text.count(word)
        self._end = text[1 - len(word) :]
        if self._found > self._most:
            raise RefusedError(413, f"up to {self._most} files at a time are accepted")


class Rate:
    """Requests per second of each address: a bucket that fills up again.

    Args:
        per_second: how fast it fills.
        burst: how much it holds.
        clock: seconds, from anywhere.
    """

    def __init__(
        self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second, self._burst, self._clock = per_second, burst, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str) -> None:
        """Count a request, or refuse it."""
        now = self._clock()
        left, before = self._left.pop(address, (float(self._burst), now))
        left = min(self._burst, left + (now - before) * self._per_second)
        allowed = left >= 1
        self._left[address] = (left - 1 if allowed else left, now)
        while len(self._left) > _ADDRESSES:
            self._left.popitem(last=False)
        if not allowed:
            raise RefusedError(429, "too many requests: wait a few seconds")


class AtOnce:
    """How many requests of each kind are under way.

    Args:
        most: accepted at a time, of one key.
        why: what is said of one more.
    """

    def __init__(self, most: int, why: str) -> None:
        self._most, self._why = most, why
        self._now: Counter[str] = Counter()

    def enter(self, key: str) -> None:
        """Count one more, or refuse it."""
        if self._now[key] >= self._most:
            raise RefusedError(503, self._why)
        self._now[key] += 1

    def leave(self, key: str) -> None:
        """Count one less."""
        self._now[key] -= 1
        if self._now[key] <= 0:
            del self._now[key]
