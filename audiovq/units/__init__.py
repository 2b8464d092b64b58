"""Codes of a corpus on disk, for downstream models."""

from typing import TYPE_CHECKING

from audiovq.lazy import attributes
from audiovq.units.metadata import Metadata

if TYPE_CHECKING:
    from audiovq.units.reading import Units, load
    from audiovq.units.record import UnitRecord

__all__ = ["Metadata", "UnitRecord", "Units", "load"]

__getattr__ = attributes(
    __name__,
    {
        "Units": "audiovq.units.reading",
        "UnitRecord": "audiovq.units.record",
        "load": "audiovq.units.reading",
    },
)
