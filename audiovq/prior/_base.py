"""The one contract of every prior.

A prior gives codes (B, K, T) a probability as a product over groups of codes: each group is
drawn at once, given all groups before it. `groups(T)` says which they are, and their order:

    wavenet, K = 1      {(0, 0)}, {(0, 1)}, {(0, 2)}, ...
    delay pattern       {(0, 0)}, {(1, 0), (0, 1)}, {(2, 0), (1, 1), (0, 2)}, ...    (row, frame)
    frame by frame      {(0, 0)}, {(1, 0)}, {(0, 1)}, {(1, 1)}, ...

Probabilities are exact: `log_prob` of all codes adds up to the logarithm of one over all sequences
of that length.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from audiovq.errors import ConfigError
from audiovq.nn.tree import register_output
from audiovq.prior._blocks import chosen, in_blocks

Place = tuple[int, int]  # row k and frame t of a code


@register_output
@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """What is known beside the codes; every field is optional.

    Attributes:
        label: speaker or any other label of each item; 0 stands for none, as when it is dropped
            in training.
        codes: another code sequence, such as the slow one of VQ-VAE-2, at a rate that divides or
            equals that of the codes; T is a multiple of its length, or one less than that.
        features: values per frame.
        keys: one integer per item, from which every random draw in training derives.
        hidden: items of which nothing is known but the codes, as when all of it is dropped in
            training; None: no item.
    """

    label: Int[Tensor, "B"] | None = None
    codes: Int[Tensor, "B Kc Tc"] | None = None
    features: Float[Tensor, "B F T"] | None = None
    keys: Int[Tensor, "B"] | None = None
    hidden: Bool[Tensor, "B"] | None = None

    def check(self, frames: int) -> None:
        """Refuse codes or features that are not of so many frames of the codes they go with."""
        if self.features is not None and self.features.shape[2] != frames:
            raise ConfigError(
                f"condition.features has {self.features.shape[2]} frames for {frames} frames of "
                f"codes"
            )
        slow = frames if self.codes is None else self.codes.shape[2]
        if slow < 1 or -frames % slow > 1 or slow > frames:
            raise ConfigError(
                f"condition.codes has {slow} frames for {frames} frames of codes, which must "
                f"be a multiple of that, or one less"
            )

    def part(self, items: slice, frames: int, start: int, stop: int) -> "Condition":
        """Return what is known of some items' frames from `start` to `stop`, of so many in all.

        Slower codes are repeated, so that they have the rate of the codes.
        """
        self.check(frames)
        mine = self.map(lambda value: value[items])
        codes, features = mine.codes, mine.features
        if codes is not None:
            every = -(-frames // codes.shape[2])  # frames per code of the other sequence
            codes = codes[..., torch.arange(start, stop, device=codes.device) // every]
        if features is not None:
            features = features[..., start:stop]
        return replace(mine, codes=codes, features=features)

    def map(self, change: Callable[[Tensor], Tensor]) -> "Condition":
        """Return it with every tensor changed."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return Condition(**{k: None if v is None else change(v) for k, v in found.items()})

    def to(self, device: torch.device | str) -> "Condition":
        """Return it on a device."""
        return self.map(lambda value: value.to(device))


class Steps(ABC):
    """A batch of sequences that grows group by group; state is preallocated and bounded."""

    @abstractmethod
    def logits(self) -> Float[Tensor, "B G N"]:
        """Return the logits of the next group's codes; -inf beyond a row's codebook size."""

    @abstractmethod
    def push(self, codes: Int[Tensor, "B G"]) -> None:
        """Say which codes the next group has, and go on to the one after it."""


class Prior(nn.Module, ABC):
    """Base of every prior.

    Attributes:
        codebook_sizes: codebook size N of each row of codes.
        labels: how many labels a condition may name, beside 0; 0 if it takes none.
        context: frames before its own that a code may depend on; None: all.
        ahead: frames after its own that a code may depend on, by codes drawn before it or by
            conditions: with the delay pattern, K - 1.
    """

    codebook_sizes: tuple[int, ...]
    labels: int = 0
    context: int | None = None
    ahead: int = 0

    @abstractmethod
    def forward(
        self,
        codes: Int[Tensor, "B K T"],
        lengths: Int[Tensor, "B"] | None = None,
        condition: Condition = ...,
    ) -> Float[Tensor, "B K N T"]:
        """Return the logits of every code given those before it, in the order of `groups`.

        Args:
            codes: in [0, N) of each row; anything past an item's end.
            lengths: frames per item; all when None.
            condition: what else is known.

        Returns:
            logits over N = the largest codebook; -inf beyond a row's own. Anything past an end.
        """

    @abstractmethod
    def groups(self, frames: int) -> Iterator[Sequence[Place]]:
        """Yield the codes of each group, in the order in which they are drawn."""

    @abstractmethod
    def steps(self, batch: int, frames: int, condition: Condition = ...) -> Steps:
        """Begin sequences of at most so many frames, computed with cached state.

        What `Steps.logits` gives equals `forward` on the whole.
        """

    @property
    def num_codebooks(self) -> int:
        """Rows K of the codes."""
        return len(self.codebook_sizes)

    @property
    def device(self) -> torch.device:
        """Where its tensors are; the CPU where it has none."""
        tensors = chain(self.parameters(), self.buffers())
        return next((t.device for t in tensors), torch.device("cpu"))

    def log_prob(
        self,
        codes: Int[Tensor, "B K T"],
        lengths: Int[Tensor, "B"] | None = None,
        condition: Condition = Condition(),
    ) -> Float[Tensor, "B K T"]:
        """Return the logarithm (nats) of each code's probability given those before it.

        0 past an item's end. In float32; the caller sums many of them in float64. Out of training,
        a prior of bounded context is run over blocks of frames, each with the context before it,
        so that no more logits are held at a time than `_blocks.LOGITS`, or those of two contexts.
        """
        if self.training:  # what dropout hides depends on where a frame is from the first on
            return chosen(self(codes, lengths, condition), codes, lengths)
        return in_blocks(self, codes, lengths, condition)
