"""How far a piece of work is: arrays and a few values in one file, replaced in one step."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from audiovq.errors import CheckpointError
from audiovq.files import atomic_write


@dataclass(frozen=True)
class Notes:
    """The notes of one piece of work.

    Attributes:
        folder: where they are.
        work: says what the work is, in every detail that decides its result.
    """

    folder: Path
    work: str

    def write(self, name: str, arrays: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Replace the notes of that name."""
        about = {"of": self._key(), "values": json.dumps(values)}
        atomic_write(self.folder / name, safetensors.torch.save(arrays, metadata=about))

    def read(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return what was written under that name; ({}, {}) if nothing was.

        Raises:
            CheckpointError: it is damaged, or belongs to other work.
        """
        path = self.folder / name
        if not path.is_file():
            return {}, {}
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                about = file.metadata() or {}
                arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            values = json.loads(about.get("values", ""))
        except (OSError, ValueError, safetensors.SafetensorError) as error:
            raise CheckpointError(
                f"{path} is damaged: {error}; delete {self.folder}, and begin again"
            ) from None
        if about.get("of") != self._key():
            raise CheckpointError(
                f"{self.folder} holds the beginning of other work (other features, corpus, size "
                f"or seed): choose another folder, or delete it"
            )
        return arrays, values

    def _key(self) -> str:
        return hashlib.sha256(self.work.encode()).hexdigest()
