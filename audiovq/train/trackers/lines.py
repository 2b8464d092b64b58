"""`log.jsonl`: one line per step that has figures."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audiovq.files import atomic_write, remove_stale
from audiovq.train.trackers._base import Tracker


class Lines(Tracker):
    """Appends each step's figures to a file.

    Args:
        path: the file.
        start: step the run continues from; later lines, and a torn last one, are dropped.
    """

    def __init__(self, path: Path, start: int) -> None:
        self.path = path
        remove_stale(path.parent)
        kept = [e for e in read_log(path) if e["step"] <= start]
        atomic_write(path, "".join(json.dumps(e) + "\n" for e in kept))

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Append one line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log; a line that a kill tore is left out."""
    if not path.exists():
        return []
    lines = []
    for line in path.read_text("utf-8", "replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("step"), int):
            lines.append(entry)
    return lines
