"""The codes of one split of a corpus in memory, to learn from or to score."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int, Int32, Int64
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from audiovq.errors import ManifestError
from audiovq.units.metadata import Metadata
from audiovq.units.reading import Units

Span = tuple[int, int, int]  # utterance, its first frame, and its frame after the last


@dataclass(frozen=True)
class Given:
    """What is known of utterances beside their codes, frame by frame, at the rate of the codes.

    Attributes:
        codes: other codes of each; None: none.
        places: of each, which vectors it is told, in `vectors`; None: none.
        vectors: what `places` are the rows of.
    """

    codes: Sequence[Int32[Tensor, "C _"]] | None = None
    places: Sequence[Int32[Tensor, "R _"]] | None = None
    vectors: Float[Tensor, "N F"] | None = None

    def of(self, chosen: Iterable[int]) -> "Given":
        """Return what is known of some utterances."""
        return Given(
            codes=None if self.codes is None else [self.codes[i] for i in chosen],
            places=None if self.places is None else [self.places[i] for i in chosen],
            vectors=self.vectors,
        )

    def cut(
        self, spans: Sequence[Span]
    ) -> tuple[Int[Tensor, "B C T"] | None, Float[Tensor, "B RF T"] | None]:
        """Return codes and features of parts of utterances, padded to the longest of them."""
        codes = features = None
        if self.codes is not None:
            codes = _padded([self.codes[i][:, a:b].T.long() for i, a, b in spans])
        if self.places is not None:
            assert self.vectors is not None
            rows = [self.vectors[self.places[i][:, a:b].T.long()].flatten(1) for i, a, b in spans]
            features = _padded(rows)
        return codes, features

    def add_to(self, digest: "hashlib._Hash") -> None:
        """Add all that a model may learn here to a checksum."""
        for many in (self.codes, self.places):
            for one in many or ():
                digest.update(repr(tuple(one.shape)).encode())
                digest.update(one.numpy().astype("<i4").tobytes())
        if self.vectors is not None:
            digest.update(self.vectors.numpy().tobytes())


@dataclass(frozen=True)
class CodeSequences:
    """Utterances of a corpus, in its order; an hour at 50 Hz takes 0.7 MB per codebook.

    Attributes:
        metadata: of the units they are from.
        ids: of the utterances.
        speakers: of each, None where unknown.
        samples: exact length of each at the coder's sample rate.
        codes: of each, checked against the codebooks when they were read.
        given: what a prior of them is told beside them.
    """

    metadata: Metadata
    ids: Sequence[str]
    speakers: Sequence[str | None]
    samples: Int64[np.ndarray, "U"]
    codes: Sequence[Int32[Tensor, "K _"]] = field(repr=False)
    given: Given | None = field(default=None, repr=False)

    def __len__(self) -> int:
        """Number of utterances."""
        return len(self.ids)

    @property
    def frames(self) -> Int64[np.ndarray, "U"]:
        """Frames of each utterance."""
        return np.array([c.shape[1] for c in self.codes], np.int64)

    @property
    def seconds(self) -> np.ndarray:
        """Duration of each utterance (s)."""
        return self.samples / self.metadata.sample_rate

    def spread(self, most: int) -> "CodeSequences":
        """Return at most so many utterances, spread evenly over all."""
        chosen = range(0, len(self), -(-len(self) // most))
        return CodeSequences(
            metadata=self.metadata,
            ids=[self.ids[i] for i in chosen],
            speakers=[self.speakers[i] for i in chosen],
            samples=self.samples[list(chosen)],
            codes=[self.codes[i] for i in chosen],
            given=None if self.given is None else self.given.of(chosen),
        )

    def counts(self) -> list[Int64[np.ndarray, "_"]]:
        """Return how often each code of each row occurs."""
        sizes = self.metadata.codebook_sizes
        total = [np.zeros(n, np.int64) for n in sizes]
        for codes in self.codes:
            for k, n in enumerate(sizes):
                total[k] += np.bincount(codes[k].numpy(), minlength=n)
        return total

    def fingerprint(self) -> str:
        """Return the SHA-256 of all that a model may learn here: order, codes and speakers."""
        digest = hashlib.sha256(self.metadata.model_hash.encode())
        for name, speaker, codes in zip(self.ids, self.speakers, self.codes, strict=True):
            digest.update(repr((name, speaker, tuple(codes.shape))).encode())
            digest.update(codes.numpy().astype("<i4").tobytes())
        if self.given is not None:
            self.given.add_to(digest)
        return digest.hexdigest()


def _padded(rows: Sequence[Tensor]) -> Tensor:
    return pad_sequence(list(rows), batch_first=True).transpose(1, 2)


def read_split(units: Units, split: str | None) -> CodeSequences:
    """Read one split of a units folder; all of it for None.

    Raises:
        ManifestError: it has no such utterances.
        CheckpointError: a shard is damaged.
    """
    records = list(units.select(split))
    if not records:
        there = units.metadata.splits
        advice = (
            "all of its manifest was extracted: make one with speakers of that split"
            if there is None
            else f"of the manifest {', '.join(there)} was extracted; extract it with --split all"
        )
        raise ManifestError(f"{units.folder} has no utterances of the split {split!r}: {advice}")
    return CodeSequences(
        metadata=units.metadata,
        ids=[r.id for r in records],
        speakers=[r.speaker for r in records],
        samples=np.array([r.num_samples for r in records], np.int64),
        codes=[r.codes.to(torch.int32) for r in records],
    )
