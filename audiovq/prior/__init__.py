"""Autoregressive models of code sequences: how probable codes are, and new ones."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audiovq.prior._release import TrainedPrior, load

__all__ = ["TrainedPrior", "load"]


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is first used."""
    import importlib  # noqa: PLC0415

    if name in __all__:
        return getattr(importlib.import_module("audiovq.prior._release"), name)
    raise AttributeError(f"module 'audiovq.prior' has no attribute {name!r}")
