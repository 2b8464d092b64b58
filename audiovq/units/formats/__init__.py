"""The formats downstream models read: a file here per format, found by its name.

They are written and read through `audiovq.units.export`.
"""

import difflib
import importlib
import pkgutil
from typing import cast

from audiovq.errors import ConfigError
from audiovq.units.formats._base import Format

__all__ = ["get", "names"]


def names() -> list[str]:
    """Return the names of all formats, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name[0] != "_")


def get(name: str) -> Format:
    """Return the format of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in names():
        near = difflib.get_close_matches(name, names(), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"no format named {name!r}; known: {', '.join(names())}{hint}")
    return cast("Format", importlib.import_module(f"{__name__}.{name}"))
