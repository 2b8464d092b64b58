"""Reading a units folder: iterate over utterances, or name one.

Everything that reads codes goes through `load`, never by file name.
"""

import hashlib
import itertools
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import overload

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from audiovq.errors import CheckpointError
from audiovq.files import sha256
from audiovq.units import store
from audiovq.units.metadata import NAME, VECTORS, Metadata, Shard, read_metadata
from audiovq.units.record import UnitRecord
from audiovq.units.store import Table

_HELD_BYTES = 256 << 20  # of shards kept in memory; 20 minutes take about 0.1 MB per codebook


class Units:
    """The codes of a corpus: iterate over them in the manifest's order, or name an utterance.

        for unit in units: ...
        units["19-198-0001"].codes
        units[0], units[-1], units[10:20]

    At most 256 MiB of shards are in memory. Every shard's checksum is compared when it is read.

    Args:
        folder: what `audiovq extract` wrote.
        metadata: its validated `units.json`.
    """

    def __init__(self, folder: Path, metadata: Metadata) -> None:
        self.folder, self.metadata = folder, metadata
        self._ends = list(itertools.accumulate(s.records for s in metadata.shards))
        self._held: OrderedDict[int, Table] = OrderedDict()
        self._index: dict[str, int] | None = None

    def __len__(self) -> int:
        """Number of utterances."""
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[UnitRecord]:
        """Yield every utterance, in the manifest's order."""
        return map(self._record, range(len(self)))

    @overload
    def __getitem__(self, key: str | int) -> UnitRecord: ...
    @overload
    def __getitem__(self, key: slice) -> list[UnitRecord]: ...
    def __getitem__(self, key: str | int | slice) -> UnitRecord | list[UnitRecord]:
        """Return the utterance of that id or place, or a list of those of a slice."""
        if isinstance(key, slice):
            return [self._record(i) for i in range(*key.indices(len(self)))]
        if isinstance(key, str):
            places = self._places()
            if key not in places:
                raise KeyError(f"no utterance {key!r} in {self.folder}")
            return self._record(places[key])
        place = key + len(self) if key < 0 else key
        if not 0 <= place < len(self):
            raise IndexError(f"no utterance {key}: {self.folder} has {len(self)}")
        return self._record(place)

    def __contains__(self, utterance: object) -> bool:
        """Whether there is an utterance of that id."""
        return utterance in self._places()

    def ids(self) -> list[str]:
        """Return all ids, in the manifest's order."""
        return list(self._places())

    def select(self, split: str | None) -> Iterator[UnitRecord]:
        """Yield the utterances of one split; all for None."""
        for shard, end in enumerate(self._ends):
            start = end - self.metadata.shards[shard].records
            for row in range(end - start):
                if split is None or self._table(shard).split(row) == split:
                    yield self._record(start + row)

    def vectors(self) -> Float[Tensor, "N D"] | None:
        """Return the vector that each code of the first row stands for; None if there is none."""
        if self.metadata.vectors_sha256 is None:
            return None
        path = self.folder / VECTORS
        if not path.is_file() or sha256(path) != self.metadata.vectors_sha256:
            raise CheckpointError(f"{path} is not the file that was extracted (checksum differs)")
        return torch.from_numpy(np.load(path, allow_pickle=False))

    def _record(self, place: int) -> UnitRecord:
        shard = bisect_right(self._ends, place)
        start = self._ends[shard] - self.metadata.shards[shard].records
        return self._table(shard).record(place - start)

    def _table(self, number: int) -> Table:
        if number not in self._held:
            self._held[number] = read_shard(
                self.folder, self.metadata.shards[number], self.metadata
            )
            while len(self._held) > 1 and sum(t.nbytes for t in self._held.values()) > _HELD_BYTES:
                self._held.popitem(last=False)
        self._held.move_to_end(number)
        return self._held[number]

    def _places(self) -> dict[str, int]:
        if self._index is None:
            places: dict[str, int] = {}
            for shard in range(len(self._ends)):
                for name in self._table(shard).ids():
                    if name in places:
                        path = self.folder / self.metadata.shards[shard].file
                        raise CheckpointError(f"{path}: the id {name!r} is there twice")
                    places[name] = len(places)
            self._index = places
        return self._index


def load(folder: str | Path) -> Units:
    """Open a finished units folder.

    Raises:
        CheckpointError: it is missing, unfinished, damaged, or of another version.
    """
    folder = Path(folder)
    metadata = read_metadata(folder)
    if metadata is None:
        raise CheckpointError(f"no {NAME} in {folder}: not a folder of `audiovq extract`")
    if not metadata.complete:
        raise CheckpointError(
            f"{folder} is unfinished: give `audiovq extract` the same arguments again"
        )
    for shard in metadata.shards:
        if not (folder / shard.file).is_file():
            raise CheckpointError(f"{folder} lacks its shard {shard.file}")
    return Units(folder, metadata)


def read_shard(folder: Path, shard: Shard, metadata: Metadata) -> Table:
    """Return a shard, after comparing its bytes with the checksum and counting its records."""
    path = folder / shard.file
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != shard.sha256:
        raise CheckpointError(f"{path} is not the file that was extracted (checksum differs)")
    table = store.parse(shard.file, data, metadata, str(path))
    if len(table.ids()) != shard.records:
        raise CheckpointError(f"{path} has {len(table.ids())} records instead of {shard.records}")
    return table
