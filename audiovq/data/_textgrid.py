"""Praat's TextGrid, in its long ("text file") and short form.

Both are one grammar: in the long form every value has a name and `=` before it, which Praat
itself ignores when reading. So a file is read as a stream of values: quoted strings (`""` inside
stands for `"`), numbers, and flags (`<exists>`). Source: Praat manual, "TextGrid file formats".
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from audiovq.errors import ManifestError

# a value counts only where it stands alone: not the 1 of `item [1]:` nor of a name such as `tier2`
_TOKEN = re.compile(
    r'"(?P<string>(?:[^"]|"")*)"|(?P<flag><\w+>)|(?P<skip>\[[^\]\n]*\]|![^\n]*)'
    r"|(?P<number>(?<![\w.])[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))|(?P<word>[^\s\"<\[!]+)"
)

Interval = tuple[str, str, str, str]  # start, end, label, place


@dataclass(frozen=True)
class _Value:
    kind: str
    text: str
    place: str


class _Values:
    """The values of a file, one after the other."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self._found = path, _values(path, text)

    def next(self, kind: str, what: str) -> _Value:
        value = next(self._found, None)
        if value is None:
            raise ManifestError(f"{self.path} is cut off: {what} is missing at its end")
        if value.kind != kind:
            raise ManifestError(f"{value.place}: {value.text[:40]!r} stands where {what} should")
        return value

    def count(self, what: str) -> int:
        value = self.next("number", what)
        if not value.text.isdigit():
            raise ManifestError(f"{value.place}: {value.text!r} is not {what}")
        return int(value.text)


def parse_textgrid(path: Path, text: str, tier: str) -> list[Interval]:
    """Return the intervals of one interval tier.

    Args:
        path: the file, for messages.
        text: what it holds.
        tier: its name, upper or lower case; a name ending in `- <tier>` will do if it is the only.

    Raises:
        ManifestError: not a TextGrid, cut off, or without that tier.
    """
    values = _Values(path, text)
    for what in ("ooTextFile", "TextGrid"):
        head = values.next("string", f'"{what}"')
        if not head.text.startswith(what):
            raise ManifestError(f"{head.place}: not a Praat TextGrid ({what!r} expected)")
    values.next("number", "the start time")
    values.next("number", "the end time")
    if values.next("flag", "<exists>").text != "<exists>":
        raise ManifestError(f"{path} has no tiers")
    tiers: list[tuple[str, list[Interval]]] = []
    for _ in range(values.count("the number of tiers")):
        kind = values.next("string", "the class of a tier").text
        name = values.next("string", "the name of a tier").text
        values.next("number", "the start of a tier")
        values.next("number", "the end of a tier")
        size = values.count("the number of intervals")
        if kind == "IntervalTier":
            tiers.append((name, [_interval(values) for _ in range(size)]))
        else:  # points: a time and a mark each
            for _ in range(size):
                values.next("number", "a time")
                values.next("string", "a mark")
    return _chosen(path, tiers, tier)


def _interval(values: _Values) -> Interval:
    start = values.next("number", "the start of an interval")
    end = values.next("number", "the end of an interval")
    label = values.next("string", "the label of an interval")
    return start.text, end.text, label.text.strip(), start.place


def _chosen(path: Path, tiers: list[tuple[str, list[Interval]]], tier: str) -> list[Interval]:
    wanted = tier.lower()
    exact = [rows for name, rows in tiers if name.lower() == wanted]
    close = [rows for name, rows in tiers if re.search(rf"-\s*{re.escape(wanted)}$", name.lower())]
    for found in (exact, close):
        if len(found) == 1:
            return found[0]
        if found:
            raise ManifestError(f"{path} has {len(found)} tiers {tier!r}; one is needed")
    names = ", ".join(repr(name) for name, _ in tiers) or "none"
    raise ManifestError(f"{path} has no interval tier {tier!r}; its interval tiers: {names}")


def _values(path: Path, text: str) -> Iterator[_Value]:
    number, seen = 1, 0
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        number, seen = number + text.count("\n", seen, match.start()), match.start()
        if kind in ("word", "skip"):
            continue
        found = match.group(kind)
        if kind == "string":
            found = found.replace('""', '"')
        yield _Value(kind, found, f"{path}, line {number}")
