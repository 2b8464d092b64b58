"""The codes of one utterance."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from audiovq.errors import CheckpointError
from audiovq.units.metadata import Metadata


@dataclass(frozen=True)
class UnitRecord:
    """The codes of one utterance.

    Attributes:
        id: of the utterance, as in the manifest.
        codes: one row per codebook, one column per frame.
        num_samples: exact length at the coder's sample rate.
        speaker: who speaks, if that is known.
        split: train, validation or test.
        text: what is said.
    """

    id: str
    codes: Int[Tensor, "K T"]
    num_samples: int
    speaker: str | None = None
    split: str | None = None
    text: str | None = None


def check_record(record: UnitRecord, metadata: Metadata, where: str) -> UnitRecord:
    """Return the record if its codes fit its length and the codebooks.

    Raises:
        CheckpointError: they do not.
    """
    sizes = metadata.codebook_sizes
    frames = -(-record.num_samples // metadata.hop_length)
    codes = record.codes
    fits = record.num_samples >= 1 and codes.shape == (len(sizes), frames)
    fits = fits and all(
        int(row.min()) >= 0 and int(row.max()) < size
        for row, size in zip(codes, sizes, strict=True)
    )
    if not fits:
        raise CheckpointError(f"{where}: codes of {record.id!r} do not fit its length or codebooks")
    return record


def as_codes(rows: list[np.ndarray] | list[list[int]]) -> Int[Tensor, "K T"]:
    """Return rows of whole numbers as codes; rows of different lengths give an empty tensor."""
    if len({len(row) for row in rows}) != 1:
        return torch.empty(0, 0, dtype=torch.int64)
    return torch.from_numpy(np.stack([np.asarray(row, np.int64) for row in rows]))
