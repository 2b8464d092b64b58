"""Components by name: the name is the stem of the file that defines them.

A component file holds exactly one public subclass of its kind's base, and one `Config`
(`audiovq.config.ComponentConfig`). Adding a component is adding a file; nothing is listed by hand.
A dotted name (`my_package.my_vq`) loads a plug-in from outside, and only where the user typed it.
"""

import difflib
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from audiovq.errors import ConfigError

# kind -> (package, its abstract base in `_base.py`)
_KINDS = {
    "encoders": ("audiovq.encoders", "Encoder"),
    "bottlenecks": ("audiovq.bottlenecks", "Bottleneck"),
    "decoders": ("audiovq.decoders", "Decoder"),
    "discriminators": ("audiovq.discriminators", "Discriminator"),
    "corpora": ("audiovq.data.corpora", "Corpus"),
    "priors": ("audiovq.prior", "Prior"),
}

# Dotted names that may be imported: None for "any, the user typed this config".
_trusted: ContextVar[frozenset[str] | None] = ContextVar("trusted_plugins", default=frozenset())


@dataclass(frozen=True)
class Component:
    """What one component file defines."""

    name: str
    cls: type
    config: type


def kinds() -> list[str]:
    """Return the kinds of component, in pipeline order."""
    return list(_KINDS)


def names(kind: str) -> list[str]:
    """Return the names of all shipped components of one kind, sorted."""
    package = importlib.import_module(_KINDS[kind][0])
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.name[0] != "_")


@contextmanager
def plugins(allowed: Collection[str] | None) -> Iterator[None]:
    """Within the block, dotted names may be imported.

    Args:
        allowed: the dotted names the user typed; None where the whole config is the user's own.
            Outside any block no dotted name is importable, so a received file cannot name code.
    """
    token = _trusted.set(None if allowed is None else frozenset(allowed))
    try:
        yield
    finally:
        _trusted.reset(token)


def get(kind: str, name: str) -> Component:
    """Return the component of that name.

    Args:
        kind: one of `kinds()`.
        name: a shipped name (`names(kind)`), or a dotted module path inside `plugins(...)`.

    Raises:
        ConfigError: the name is unknown, is a plug-in that was not typed by the user, or its
            file breaks the one-component rule.
    """
    if "." in name:
        return _component(kind, name, _plugin_module(kind, name))
    known = names(kind)
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"no {kind} named {name!r}; known: {', '.join(known)}{hint}")
    return _component(kind, name, importlib.import_module(f"{_KINDS[kind][0]}.{name}"))


def owner(kind: str, config: object) -> Component:
    """Return the component whose `Config` this is; it was loaded, and trusted, when parsed."""
    module = sys.modules[type(config).__module__]
    return _component(kind, module.__name__.rpartition(".")[2], module)


def _plugin_module(kind: str, name: str) -> ModuleType:
    trusted = _trusted.get()
    if trusted is not None and name not in trusted:
        raise ConfigError(
            f"{name!r} is a plug-in outside audiovq, named by a file: if you trust it, name it "
            f"yourself, as in audiovq.load(..., plugins=[{name!r}])"
        )
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f"cannot import the plug-in {name!r} ({kind}): {error}") from error


def _component(kind: str, name: str, module: ModuleType) -> Component:
    package, base_name = _KINDS[kind]
    base = getattr(importlib.import_module(f"{package}._base"), base_name)
    found: list[Any] = [
        c
        for n, c in inspect.getmembers(module, inspect.isclass)
        if c.__module__ == module.__name__ and issubclass(c, base) and n[0] != "_"
    ]
    config = getattr(module, "Config", None)
    if len(found) != 1 or config is None:
        raise ConfigError(
            f"{module.__name__} must define one public subclass of {base.__name__} and one Config; "
            f"found {[c.__name__ for c in found]} and {'a' if config else 'no'} Config"
        )
    return Component(name=name, cls=found[0], config=config)
