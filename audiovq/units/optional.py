"""Packages that only some work needs, imported when it is done."""

import importlib
from typing import Any

from audiovq.errors import ConfigError


def need(module: str, work: str, install: str = "audiovq[units]") -> Any:
    """Import and return a module.

    Args:
        module: its name.
        work: what is done with it, as the subject of a sentence in the plural.
        install: what pip is to be told.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ConfigError(f'{work} need {module}: pip install "{install}"') from None
