"""Codes of a corpus on disk, for downstream models."""

from typing import TYPE_CHECKING, Any

from audiovq.units.metadata import Metadata

if TYPE_CHECKING:
    from audiovq.units.reading import Units, load
    from audiovq.units.record import UnitRecord

__all__ = ["Metadata", "UnitRecord", "Units", "load"]

_FROM = {
    "Units": "audiovq.units.reading",
    "UnitRecord": "audiovq.units.record",
    "load": "audiovq.units.reading",
}


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is first used."""
    import importlib  # noqa: PLC0415

    if name in _FROM:
        return getattr(importlib.import_module(_FROM[name]), name)
    raise AttributeError(f"module 'audiovq.units' has no attribute {name!r}")
