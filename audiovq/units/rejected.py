"""The list of recordings that gave no codes: nothing is left out in silence."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from audiovq.data.manifest import Record
from audiovq.errors import CheckpointError, ManifestError
from audiovq.files import atomic_write
from audiovq.units.parts import Done

NAME = "rejected.jsonl"


class Rejected:
    """Ids and reasons, kept in the manifest's order in `rejected.jsonl` of a units folder.

    Args:
        folder: the units folder.
        records: all records of the extraction.
        unreadable: id and reason of what could not even become a record; listed first.
        most: share of all recordings that may be unusable, in [0, 1].
        of: records of the whole corpus, all splits.
    """

    def __init__(
        self,
        folder: Path,
        records: Sequence[Record],
        unreadable: Mapping[str, str],
        most: float,
        *,
        of: int,
    ) -> None:
        self.path, self._most, self._unreadable = folder / NAME, most, dict(unreadable)
        # what became no record is in no split: it is judged beside all of the corpus
        self._total = len(records) if not unreadable else of + len(unreadable)
        names = [*unreadable, *(record.id for record in records)]
        self._order = {name: place for place, name in enumerate(names)}
        self._reasons = dict(unreadable)

    def __len__(self) -> int:
        return len(self._reasons)

    def take_up(self, notes: Mapping[str, Done], settled: set[str]) -> None:
        """Begin with what is known of finished shards.

        What was said earlier about any other recording is forgotten: it is tried again, and may
        have been mended meanwhile.

        Args:
            notes: of finished shards, whose rejected recordings count.
            settled: ids of all recordings of finished shards.
        """
        earlier = {k: v for k, v in _read(self.path).items() if k in settled}
        noted = {k: v for note in notes.values() for k, v in note.rejected.items()}
        self._reasons = self._unreadable | earlier | noted
        self._limit()

    def add(self, reasons: Mapping[str, str]) -> None:
        """Note more recordings.

        Raises:
            ManifestError: they are more than are put up with; the list is written.
        """
        self._reasons.update(reasons)
        self._limit()

    def write(self) -> None:
        """Bring the file up to date in one step."""
        entries = sorted(self._reasons.items(), key=lambda entry: self._order[entry[0]])
        if entries:
            lines = (json.dumps({"id": k, "reason": v}, ensure_ascii=False) for k, v in entries)
            atomic_write(self.path, "".join(f"{line}\n" for line in lines))
        else:
            self.path.unlink(missing_ok=True)

    def too_many(self) -> str | None:
        """Return what is wrong when more than the given share of all records is unusable.

        Says how many, where they are listed, and what would allow them; the list is written.
        """
        bad, total = len(self._reasons), self._total
        if bad <= self._most * total:
            return None
        self.write()
        share = -(-bad * 100 // total) / 100  # rounded up, so that it is accepted
        return (
            f"{bad} of {total} recordings cannot be used (listed in {self.path}); mend them, or "
            f"allow more with --max-rejected {share:.2f}"
        )

    def _limit(self) -> None:
        if message := self.too_many():
            raise ManifestError(message)


def _read(path: Path) -> dict[str, str]:
    try:
        text = path.read_text("utf-8") if path.is_file() else ""
        # not splitlines(): an id may hold any character, U+2028 among them
        return {e["id"]: e["reason"] for e in (json.loads(x) for x in text.split("\n") if x)}
    except (ValueError, TypeError, KeyError, RecursionError):
        raise CheckpointError(
            f"{path} is damaged: delete that folder, or choose another, and extract again"
        ) from None
