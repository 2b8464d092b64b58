"""Which addresses of the server exist: what the page and the API need; all else is not there.

gradio has many more, for what the demo does not do: proxies, logins, streams, sharing. Each was a
way in at some time (CVE-2026-28414 and its kin); what is not listed need not be watched.
"""

from pathlib import PurePosixPath
from urllib.parse import urlsplit

from ..settings import Settings
from .quota import Cache
from .request import RefusedError, Request

_API = "/gradio_api"
_GET = {
    "/", "/config", "/theme.css", "/robots.txt", "/favicon.ico", "/manifest.json",
    f"{_API}/info", f"{_API}/openapi.json", f"{_API}/app_id",
    f"{_API}/theme.css", f"{_API}/queue/data", f"{_API}/upload_progress",
}  # fmt: skip
_GET_BELOW = ("/assets/", "/static/", f"{_API}/heartbeat/", f"{_API}/call/")
_POST = {f"{_API}/{name}" for name in ("queue/join", "upload", "cancel", "reset")}
_POST_BELOW = tuple(f"{_API}/{name}/" for name in ("call", "run", "api"))
_KNOWN = {"GET": (_GET, _GET_BELOW), "HEAD": (_GET, _GET_BELOW), "POST": (_POST, _POST_BELOW)}
_FILE = f"{_API}/file="
# What the demo makes or takes. Markup (html, svg) could run a script in the page's name.
SERVED = {
    ".wav", ".flac", ".ogg", ".mp3", ".png", ".webp", ".jpg", ".jpeg", ".csv", ".json", ".jsonl",
    ".km", ".txt", ".avq", ".zip",
}  # fmt: skip
_MINE = {"localhost", "127.0.0.1", "::1"}
_LONGEST = 2048


def check_route(request: Request, cache: Cache) -> None:
    """Refuse what is not one of the demo's addresses."""
    path = request.path
    if len(path) > _LONGEST or any(c in path for c in "\\\0\r\n"):
        raise RefusedError(400, "that is no address of this demo")
    if path.startswith(_FILE):
        _check_file(request, path.removeprefix(_FILE), cache)
        return
    if ".." in PurePosixPath(path).parts or "//" in path:
        raise RefusedError(400, "that is no address of this demo")
    if request.method not in _KNOWN:
        raise RefusedError(405, "only GET, HEAD and POST are answered")
    exact, below = _KNOWN[request.method]
    if path not in exact and path.rstrip("/") not in exact and not path.startswith(below):
        raise RefusedError(404, "there is nothing at this address")


def check_host(request: Request, settings: Settings) -> None:
    """Refuse a page of another site that reaches for this server through a visitor's browser.

    A name that is made to point here (DNS rebinding) shows in `Host`, a foreign page in `Origin`.
    """
    host = request.headers.get("host", "")
    name = _name_of(host)
    known = {n.lower() for n in settings.names} | _MINE
    open_to_all = settings.host not in _MINE and not settings.names
    if not name or not (open_to_all or name in known):
        raise RefusedError(
            403, "this name is not one of the demo's: start it with --name to allow it"
        )
    origin = request.headers.get("origin")
    hosts = {host.lower()}
    if settings.behind_proxy:
        hosts.add(request.headers.get("x-forwarded-host", host).lower())
    if origin is not None and urlsplit(origin).netloc.lower() not in hosts:
        raise RefusedError(403, "requests of other sites' pages are not answered")
    site = request.headers.get("sec-fetch-site", "none")
    if request.method == "POST" and origin is None and site not in {"none", "same-origin"}:
        raise RefusedError(403, "requests of other sites' pages are not answered")


def _check_file(request: Request, path: str, cache: Cache) -> None:
    if request.method not in {"GET", "HEAD"}:
        raise RefusedError(405, "files can only be fetched")
    if not cache.holds(path) or PurePosixPath(path).suffix.lower() not in SERVED:
        raise RefusedError(403, "this file is not served")
    ranges = request.headers.get("range", "")
    if "," in ranges or len(ranges) > 64:  # many ranges of one file multiply the work
        raise RefusedError(416, "one range at a time")


def _name_of(host: str) -> str:
    """Return the host without its port, in lower case; "" if it is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
