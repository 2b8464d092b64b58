"""What a visitor is told when something goes wrong: one line, without paths or tracebacks."""

import logging
import re

from audiovq.errors import AudioVQError

_LOG = logging.getLogger("audiovq.demo")
_PATH = re.compile(r"(?:[A-Za-z]:)?(?:[/\\][^\s/\\:'\",;]+){2,}[/\\]?|~[/\\]\S+")
_LONGEST = 300


def friendly(error: BaseException) -> str:
    """Return one line for a visitor; what is not meant for one is logged instead.

    Our own errors say what to do, and keep of every path the last part. Anything else is a fault
    of the program, which the visitor can do nothing about.
    """
    if not isinstance(error, AudioVQError):
        _LOG.error("the demo failed", exc_info=error)
        return "something went wrong on the server, and was noted there: try again"
    line = " ".join(str(error).split())
    return _PATH.sub(_last, line)[:_LONGEST]


def _last(found: re.Match[str]) -> str:
    return re.split(r"[/\\]", found.group().rstrip("/\\"))[-1]
