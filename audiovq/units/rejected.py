"""The list of recordings that gave no codes: nothing is left out in silence."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from audiovq.data.manifest import Record
from audiovq.errors import CheckpointError, ManifestError
from audiovq.files import atomic_write

NAME = "rejected.jsonl"


class Rejected:
    """Ids and reasons, kept in the manifest's order in `rejected.jsonl` of a units folder.

    Args:
        folder: the units folder.
        records: all records of the extraction.
        settled: ids whose shard is finished. What an earlier run said about any other is
            forgotten: that recording is tried again, and may have been mended meanwhile.
    """

    def __init__(self, folder: Path, records: Sequence[Record], settled: set[str]) -> None:
        self.path = folder / NAME
        self._order = {record.id: place for place, record in enumerate(records)}
        self._reasons = {k: v for k, v in _read(self.path).items() if k in settled}

    def add(self, reasons: Mapping[str, str]) -> None:
        """Note more recordings, and bring the file up to date in one step."""
        self._reasons.update(reasons)
        entries = sorted(self._reasons.items(), key=lambda entry: self._order[entry[0]])
        if entries:
            lines = (json.dumps({"id": k, "reason": v}, ensure_ascii=False) for k, v in entries)
            atomic_write(self.path, "".join(f"{line}\n" for line in lines))
        else:
            self.path.unlink(missing_ok=True)

    def limit(self, most: float) -> None:
        """Refuse to go on when more than that share of all records is unusable.

        Raises:
            ManifestError: says how many, where they are listed, and what would allow them.
        """
        bad, total = len(self._reasons), len(self._order)
        if bad > most * total:
            share = -(-bad * 100 // total) / 100  # rounded up, so that it is accepted
            raise ManifestError(
                f"{bad} of {total} recordings cannot be used (listed in {self.path}); mend them, "
                f"or allow more with --max-rejected {share:.2f}"
            )


def _read(path: Path) -> dict[str, str]:
    try:
        text = path.read_text("utf-8") if path.is_file() else ""
        # not splitlines(): an id may hold any character, U+2028 among them
        return {e["id"]: e["reason"] for e in (json.loads(x) for x in text.split("\n") if x)}
    except (ValueError, TypeError, KeyError, RecursionError):
        raise CheckpointError(
            f"{path} is damaged: delete that folder, or choose another, and extract again"
        ) from None
