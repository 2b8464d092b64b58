"""What several processes tell each other about finished shards: a small file beside each.

`shard-000012.done.json` is written after its shard, in one step. Once all are there they are
gathered into `units.json` and deleted.
"""

from collections.abc import Iterable
from pathlib import Path

from pydantic import Field, ValidationError

from audiovq.errors import CheckpointError
from audiovq.files import atomic_write
from audiovq.units.metadata import Shard

_SUFFIX = ".done.json"


class Done(Shard):
    """A finished shard, and the recordings of it that gave no codes."""

    rejected: dict[str, str] = Field(default_factory=dict)


def note(out: Path, done: Done) -> None:
    """Say that a shard is finished; it must be on disk."""
    atomic_write(_path(out, done.file), done.model_dump_json() + "\n")


def pending(out: Path) -> list[Path]:
    """Return the notes that are not gathered yet."""
    return sorted(out.glob(f"*{_SUFFIX}"))


def read(out: Path) -> dict[str, Done]:
    """Return all notes, by the shard's name.

    Raises:
        CheckpointError: one is damaged.
    """
    found = {}
    for path in pending(out):
        try:
            done = Done.model_validate_json(path.read_bytes())
        except FileNotFoundError:  # gathered by another process since
            continue
        except ValidationError:
            raise CheckpointError(f"{path} is damaged: delete it, and extract again") from None
        found[done.file] = done
    return found


def clear(out: Path, files: Iterable[str]) -> None:
    """Forget what was noted about these shards."""
    for file in files:
        _path(out, file).unlink(missing_ok=True)


def _path(out: Path, file: str) -> Path:
    return out / f"{Path(file).stem}{_SUFFIX}"
