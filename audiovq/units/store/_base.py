"""A shard that has been read."""

from abc import ABC, abstractmethod

from audiovq.units.record import UnitRecord


class Table(ABC):
    """A shard in memory, whose records are made when they are asked for."""

    nbytes: int  # what it takes in memory, about

    @abstractmethod
    def ids(self) -> list[str]:
        """Return the ids, in the shard's order."""

    @abstractmethod
    def split(self, row: int) -> str | None:
        """Return the split of a row."""

    @abstractmethod
    def record(self, row: int) -> UnitRecord:
        """Return a row, its codes checked."""
