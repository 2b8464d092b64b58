"""Codes in memory, from a units folder or made on the spot, as an evaluation takes them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from audiovq.errors import CheckpointError
from audiovq.units.reading import Units


@dataclass(frozen=True)
class Coded:
    """Codes from anywhere: a units folder, or a baseline in memory.

    Attributes:
        label: what they are, for tables.
        sample_rate: that the codes count at (Hz).
        hop_length: samples per frame.
        codebook_sizes: N of each row.
        codes: by utterance id, (K, T).
        lengths: samples of each utterance at sample_rate.
        vectors: what each code of the first row stands for, (N, D); None: unknown.
        fingerprint: of what made them; "" for a baseline.
        notes: what a reader must know about them.
    """

    label: str
    sample_rate: int
    hop_length: int
    codebook_sizes: tuple[int, ...]
    codes: Mapping[str, Int64[np.ndarray, "K _"]]
    lengths: Mapping[str, int]
    vectors: Float[np.ndarray, "N D"] | None = None
    fingerprint: str = ""
    notes: tuple[str, ...] = ()

    @property
    def hop(self) -> float:
        """Seconds per frame."""
        return self.hop_length / self.sample_rate


def from_units(units: Units, label: str, split: str | None = None) -> Coded:
    """Read a units folder whole, or one split of it.

    Raises:
        CheckpointError: an id is there twice, or codes do not fit their length.
    """
    codes: dict[str, Int64[np.ndarray, "K _"]] = {}
    lengths: dict[str, int] = {}
    m = units.metadata
    for record in units:
        if record.id in codes:
            raise CheckpointError(f"{units.folder}: the id {record.id!r} is there twice")
        if split is None or record.split in (split, None):  # the manifest decides where it is None
            codes[record.id] = record.codes.numpy()
            lengths[record.id] = record.num_samples
    vectors = units.vectors()
    return Coded(
        label=label,
        sample_rate=m.sample_rate,
        hop_length=m.hop_length,
        codebook_sizes=m.codebook_sizes,
        codes=codes,
        lengths=lengths,
        vectors=None if vectors is None else np.asarray(vectors),
        fingerprint=m.model_hash,
    )
