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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from audiovq.nn.tree import register_output

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
    """

    codebook_sizes: tuple[int, ...]
    labels: int = 0
    context: int | None = None

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

    def log_prob(
        self,
        codes: Int[Tensor, "B K T"],
        lengths: Int[Tensor, "B"] | None = None,
        condition: Condition = Condition(),
    ) -> Float[Tensor, "B K T"]:
        """Return the logarithm (nats) of each code's probability given those before it.

        0 past an item's end. In float32; the caller sums many of them in float64.
        """
        logits = self(codes, lengths, condition)
        B, K, N, T = logits.shape
        if lengths is not None:
            inside = torch.arange(T, device=codes.device) < lengths.view(-1, 1, 1)
            codes = torch.where(inside, codes, 0)
        flat = logits.permute(0, 1, 3, 2).reshape(-1, N).float()
        found = -F.cross_entropy(flat, codes.reshape(-1), reduction="none").view(B, K, T)
        return found if lengths is None else torch.where(inside, found, 0.0)
