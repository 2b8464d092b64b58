"""Batches of code sequences; the whole state of the loader is the number of the next step.

An epoch is an order of all sequences, drawn from (seed, epoch). It is cut into stretches of a few
batches; within each, sequences are sorted by length, so that little is padded, and the batches of
all stretches come in an order drawn again. The few sequences that fill no batch wait for another
epoch.

Nothing is packed one behind the other: of an hour of LibriSpeech (318 utterances of 2 to 17 s,
batches of 8) 28 % of the frames would be padding if nothing was sorted, and 4 % are by the default
stretches of 16 batches (7 % of 8, 3 % of 32).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from pydantic import Field
from torch import Tensor

from audiovq.config import Config
from audiovq.data.segments import item_key
from audiovq.errors import ConfigError
from audiovq.nn.tree import register_output
from audiovq.units.sequences import CodeSequences


class CodesConfig(Config):
    """How codes are cut and put together."""

    batch_size: int = Field(16, ge=1, description="sequences per step, over all devices")
    crop: int | None = Field(
        None, ge=1, description="frames of a sequence at most, cut anew in every epoch; null: whole"
    )
    bucket: int = Field(
        16, ge=1, description="batches whose sequences are sorted by length together, to pad less"
    )


@register_output
@dataclass(frozen=True, kw_only=True, slots=True)
class CodeBatch:
    """Sequences of codes, padded to the longest of the step.

    Attributes:
        codes: 0 past each item's end.
        lengths: frames per item.
        labels: of each item; 0: none.
        keys: one integer per item, from which all randomness about it derives.
        ids: utterance of each item.
        step_lengths: frames of all items of the step, of which these may be a part: losses are
            normalised by them.
        given: other codes that are known of every frame; anything past an item's end.
        features: values that are known of every frame, likewise.
    """

    codes: Int[Tensor, "B K T"]
    lengths: Int[Tensor, "B"]
    labels: Int[Tensor, "B"]
    keys: Int[Tensor, "B"]
    ids: tuple[str, ...]
    step_lengths: Int[Tensor, "S"]
    given: Int[Tensor, "B C T"] | None = None
    features: Float[Tensor, "B F T"] | None = None

    def split(self, parts: int) -> "list[CodeBatch]":
        """Return the items in so many parts, as equal as can be."""
        bounds = [len(self.codes) * i // parts for i in range(parts + 1)]
        return [self] if parts == 1 else [self.part(a, b) for a, b in pairwise(bounds)]

    def part(self, start: int, end: int) -> "CodeBatch":
        """Return the items from `start` to before `end`."""
        return CodeBatch(
            codes=self.codes[start:end],
            lengths=self.lengths[start:end],
            labels=self.labels[start:end],
            keys=self.keys[start:end],
            ids=self.ids[start:end],
            step_lengths=self.step_lengths,
            given=None if self.given is None else self.given[start:end],
            features=None if self.features is None else self.features[start:end],
        )


class CodeLoader:
    """Endless batches of code sequences, each a pure function of (seed, step).

    Args:
        sequences: the utterances.
        config: how they are cut and batched.
        seed: decides order, cuts and keys.
        labels: of each utterance; None: it has none.

    Raises:
        ConfigError: there are fewer sequences than a batch takes.
    """

    def __init__(
        self,
        sequences: CodeSequences,
        config: CodesConfig,
        seed: int,
        labels: Sequence[int] | None = None,
    ) -> None:
        self.sequences, self.config, self.seed = sequences, config, seed
        self.labels = labels or [0] * len(sequences)
        frames = sequences.frames
        self._size = frames if config.crop is None else np.minimum(frames, config.crop)
        pieces = -(-frames // self._size)
        self._owner = np.repeat(np.arange(len(frames)), pieces)
        self._number = np.concatenate([np.arange(n) for n in pieces])
        self._slack = pieces * self._size - frames
        if len(self._owner) < config.batch_size:
            raise ConfigError(
                f"data.batch_size={config.batch_size} is more than the {len(self._owner)} "
                f"sequences there are to train on: lower it, or data.crop"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one epoch."""
        return len(self._owner) // self.config.batch_size

    def batches(self, step: int, part: tuple[int, int] = (0, 1)) -> Iterator[CodeBatch]:
        """Yield the batches from a step on, without end.

        Args:
            step: the first batch's, from 0.
            part: which of how many parts of every batch.
        """
        while True:
            epoch, start = divmod(step, self.steps_per_epoch)
            for items in self.plan(epoch)[start:]:
                batch = self._batch(epoch, items)
                a, b = (len(items) * i // part[1] for i in (part[0], part[0] + 1))
                yield batch if part[1] == 1 else batch.part(a, b)
            step = (epoch + 1) * self.steps_per_epoch

    def plan(self, epoch: int) -> list[Int64[np.ndarray, "B"]]:
        """Return the sequences of each batch of an epoch, by number."""
        size = self.config.batch_size
        rng = np.random.Generator(np.random.Philox(key=np.array([self.seed, epoch], np.uint64)))
        order = rng.permutation(len(self._owner))[: self.steps_per_epoch * size]
        batches = []
        for start in range(0, len(order), size * self.config.bucket):
            stretch = order[start : start + size * self.config.bucket]
            by_length = stretch[np.argsort(self._size[self._owner[stretch]], kind="stable")]
            batches += np.split(by_length, len(stretch) // size)
        return [batches[i] for i in rng.permutation(len(batches))]

    def span(self, epoch: int, item: int) -> tuple[int, int, int]:
        """Return utterance, first frame and end of a sequence.

        A cropped utterance is covered whole by as few pieces as can be, all of one length, the
        first from its beginning; where they overlap is drawn in each epoch.
        """
        owner, number = int(self._owner[item]), int(self._number[item])
        size, frames = int(self._size[owner]), len(self.sequences.codes[owner][0])
        drawn = item_key(self.seed, -1 - epoch, owner) % (int(self._slack[owner]) + 1)
        start = min(max(0, number * size - drawn), frames - size)
        return owner, start, start + size

    def _batch(self, epoch: int, items: Int64[np.ndarray, "B"]) -> CodeBatch:
        spans = [self.span(epoch, int(i)) for i in items]
        lengths = torch.tensor([end - start for _, start, end in spans])
        rows = len(self.sequences.metadata.codebook_sizes)
        codes = torch.zeros(len(spans), rows, int(lengths.max()), dtype=torch.int64)
        for item, (owner, start, end) in enumerate(spans):
            codes[item, :, : end - start] = self.sequences.codes[owner][:, start:end]
        known = self.sequences.given
        given, features = (None, None) if known is None else known.cut(spans)
        return CodeBatch(
            codes=codes,
            lengths=lengths,
            labels=torch.tensor([self.labels[owner] for owner, _, _ in spans]),
            keys=torch.tensor([item_key(self.seed, epoch, int(i)) for i in items]),
            ids=tuple(self.sequences.ids[owner] for owner, _, _ in spans),
            step_lengths=lengths,
            given=given,
            features=features,
        )
