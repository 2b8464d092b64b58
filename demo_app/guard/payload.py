"""What a call carries: JSON of bounded size, whose files are the visitor's own uploads.

gradio itself fetches a `path` that is a public address. Here a `path` must lie in the folder that
uploads are stored in: nothing else is read, and nothing is ever fetched.
"""

import json
from typing import Any

from .quota import Cache
from .request import RefusedError

_MAX_VALUES = 100_000


def check(body: bytes, cache: Cache) -> None:
    """Refuse a call that is not JSON, or that names a file which was not uploaded."""
    try:
        value = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        raise RefusedError(400, "the request is not JSON") from None
    waiting, seen = [value], 0
    while waiting:
        item = waiting.pop()
        seen += 1
        if seen > _MAX_VALUES:
            raise RefusedError(413, "the request holds too many values")
        if isinstance(item, dict):
            _check_mapping(item, cache)
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _check_mapping(item: dict[str, Any], cache: Cache) -> None:
    if "__type__" in item:  # how the server tells the page to change itself; never the reverse
        raise RefusedError(400, "a call cannot change the page")
    path = item.get("path")
    if path is None:
        if "url" in item and "meta" in item:
            raise RefusedError(400, "a file must be uploaded first; addresses are not fetched")
        return
    if not isinstance(path, str) or not cache.holds(path):
        raise RefusedError(400, "a file must be uploaded first; paths and addresses are not opened")
