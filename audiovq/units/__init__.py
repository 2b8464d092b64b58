"""Codes of a corpus on disk, for downstream models."""

from audiovq.units.format import Metadata, UnitRecord, Units, load

__all__ = ["Metadata", "UnitRecord", "Units", "load"]
