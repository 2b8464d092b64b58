"""Babble: several other speakers of the same corpus at once."""

import hashlib
import math

import torch
from jaxtyping import Float
from torch import Tensor

from audiovq.data.manifest import Manifest, Record
from audiovq.errors import AudioError

TALKERS = 6  # at most; fewer where the corpus has fewer other speakers
FEWEST = 2


class Babble:
    """Makes babble from a manifest's recordings, of any split.

    Args:
        manifest: whose recordings talk.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._of: dict[str, list[Record]] = {}
        for record in manifest.records:
            if record.speaker is not None:
                self._of.setdefault(record.speaker, []).append(record)

    def talkers(self, record: Record, seed: int) -> list[Record]:
        """Return a recording each of other speakers, drawn by hash of seed and record.

        Raises:
            AudioError: the record's speaker, or enough others, are not known.
        """
        if record.speaker is None:
            raise AudioError(
                "babble is never of the same speaker, and the manifest does not say who speaks"
            )
        order = sorted(
            (s for s in self._of if s != record.speaker), key=lambda s: _hash(seed, record.id, s)
        )[:TALKERS]
        if len(order) < FEWEST:
            raise AudioError(
                f"babble takes {FEWEST} other speakers or more; the manifest has {len(order)}"
            )
        return [min(self._of[s], key=lambda r: _hash(seed, record.id, r.id)) for s in order]

    def __call__(
        self, record: Record, sample_rate: int, size: int, seed: int
    ) -> Float[Tensor, "_"]:
        """Return so many samples of several others who talk at once, equally loud.

        Raises:
            AudioError: a recording cannot be read, or as `talkers`.
        """
        chosen = self.talkers(record, seed)
        return sum(
            (self._one(r, sample_rate, size, _hash(seed, record.id, r.id)) for r in chosen),
            torch.zeros(size),
        )

    def _one(self, record: Record, sample_rate: int, size: int, drawn: bytes) -> Float[Tensor, "_"]:
        """Return an excerpt of power 1 from anywhere in a recording; a short one is repeated."""
        needed = math.ceil(size * record.sample_rate / sample_rate) + 1
        start = int.from_bytes(drawn[8:16], "little") % max(1, record.num_samples - needed + 1)
        x = self._manifest.load(
            record, sample_rate, start=start, num_samples=min(needed, record.num_samples)
        ).flatten()
        x = x.repeat(-(-size // len(x)))[:size]
        power = float(x.double().square().mean())
        return x / math.sqrt(power) if power > 0 else x


def _hash(seed: int, name: str, other: str) -> bytes:
    return hashlib.sha256(repr((seed, name, other)).encode()).digest()
