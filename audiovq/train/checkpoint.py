"""The private state of a run: one file per kept step, written whole or not at all.

A checkpoint maps names to the states of whatever the recipe wants back: model, optimizer, corpus.
A second loop with more parts adds names, not code. Files hold plain tensors, numbers and strings,
and are read with `weights_only=True`, once their checksums hold.
"""

import io
import pickle
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from audiovq import distributed
from audiovq.errors import CheckpointError, NonFiniteError
from audiovq.files import atomic_write, remove_stale

FORMAT, VERSION = "audiovq.checkpoint", 1
_NAME = re.compile(r"step-(\d{9})\.pt")


@runtime_checkable
class Stateful(Protocol):
    """Anything with a state of plain values."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""

    def load_state_dict(self, state: Any, /) -> Any:
        """Restore the state."""


class Store:
    """The checkpoints of one run.

    Args:
        folder: where they are; made if missing. Temporaries of killed writers are removed.
        keep: how many of the newest stay.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder, self.keep = folder, keep
        if distributed.is_main():
            folder.mkdir(parents=True, exist_ok=True)
            remove_stale(folder)

    def steps(self) -> list[int]:
        """Return the steps that can be resumed from, oldest first."""
        found = (_NAME.fullmatch(p.name) for p in self.folder.iterdir())
        return sorted(int(m[1]) for m in found if m)

    def path(self, step: int) -> Path:
        """Return the file of a step."""
        return self.folder / f"step-{step:09d}.pt"

    def save(self, step: int, parts: Mapping[str, Stateful]) -> Path:
        """Write the state of all parts after `step` steps, then remove the oldest beyond `keep`.

        Raises:
            NonFiniteError: a tensor holds NaN or infinity; the older checkpoints stay as they are.
        """
        state = {name: part.state_dict() for name, part in parts.items()}
        for name, value in _tensors(state, ""):
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                raise NonFiniteError(f"not saved: {name} holds NaN or infinity at step {step}")
        buffer = io.BytesIO()
        torch.save({"format": FORMAT, "version": VERSION, "step": step, "parts": state}, buffer)
        atomic_write(self.path(step), buffer.getvalue())
        for old in self.steps()[: -self.keep]:
            self.path(old).unlink(missing_ok=True)
        return self.path(step)

    def part(self, name: str) -> Any:
        """Return the state of one part in the newest checkpoint; None if there is none.

        Raises:
            CheckpointError: it is damaged, or of another version.
        """
        steps = self.steps()
        return _read(self.path(steps[-1]))["parts"].get(name) if steps else None

    def resume(self, parts: Mapping[str, Stateful]) -> int:
        """Restore all parts from the newest checkpoint; returns its step, 0 if there is none.

        Only the main process reads; the file need not be there for others.

        Raises:
            CheckpointError: it is damaged, of another version, or does not fit the parts.
        """
        path, content = self._newest()
        if content is None:
            return 0
        if content["parts"].keys() != parts.keys():
            raise CheckpointError(
                f"{path} holds {sorted(content['parts'])}; this run needs {sorted(parts)}"
            )
        for name, part in parts.items():
            try:
                part.load_state_dict(content["parts"][name])
            except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
                reason = " ".join(str(error).split())[:200]
                raise CheckpointError(f"{path}: {name} does not fit this run: {reason}") from None
        return int(content["step"])

    def _newest(self) -> tuple[Path, dict[str, Any] | None]:
        path, content = self.folder, None
        with distributed.main_first():
            if distributed.is_main() and (steps := self.steps()):
                path = self.path(steps[-1])
                content = _read(path)
        return distributed.from_main((path, content))


def _read(path: Path) -> dict[str, Any]:
    try:
        _verify(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (
        RuntimeError,
        OSError,
        EOFError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        AssertionError,
        NotImplementedError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:  # whatever torch.load meets in bytes it did not write
        reason = str(error).split(". ")[0].strip().split("\n")[0]
        raise CheckpointError(
            f"{path} is damaged or not a checkpoint ({reason}); remove it to go on from the one "
            f"before"
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not an audiovq checkpoint")
    if content.get("version") != VERSION:
        raise CheckpointError(
            f"{path} has version {content.get('version')!r}; this audiovq reads {VERSION}"
        )
    parts, step = content.get("parts"), content.get("step")
    if not isinstance(parts, dict) or not isinstance(step, int) or isinstance(step, bool):
        raise CheckpointError(f"{path} lacks its parts or its step; remove it to go on before it")
    return content


def _verify(path: Path) -> None:
    """Refuse a file whose bytes are not those written.

    `torch.load` does not look at the checksums that `torch.save` stores: a flipped bit in a weight
    would go on training unnoticed. Nor does `torch.save` compress, so what is compressed is a trap.
    """
    with zipfile.ZipFile(path) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("it is compressed")
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"the checksum of {damaged} is wrong")


def _tensors(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _tensors(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            yield from _tensors(inner, f"{name}.{i}")
