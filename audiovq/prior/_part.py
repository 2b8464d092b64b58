"""Which of a model's codes a prior is of, and which others it is given.

The rows of VQ-VAE-2 are named `slow`, `fast 0`, ..., `fast 3`: two streams of codes, of which the
fast one has four codes in a frame of the slow one. A prior may model one stream, and be given the
other; a fast stream is then one row at its own rate, in time order. Of a model of one rate, every
row is a stream of its own: the first codebooks of a residual quantizer may be given to a prior of
the later ones.
"""

import re
from collections.abc import Sequence
from typing import Annotated

import torch
from einops import rearrange
from jaxtyping import Int, Num
from pydantic import Field
from torch import Tensor

from audiovq.config import Config
from audiovq.errors import ConfigError

Size = Annotated[int, Field(ge=1, le=1 << 20)]
Name = Annotated[str, Field(max_length=200)]
Row = Annotated[int, Field(ge=0, le=255)]


class Part(Config):
    """Some rows of a model's codes, to model; and others, to be given."""

    codebook_sizes: tuple[Size, ...] = Field(
        min_length=1, max_length=256, description="N of each row of the model's codes"
    )
    names: tuple[Name, ...] = Field(max_length=256, description="of the streams that are modelled")
    rows: tuple[Row, ...] = Field(
        min_length=1, max_length=256, description="rows that are modelled, from 0"
    )
    ratio: int = Field(
        1, ge=1, le=256, description="codes in a frame: the rows are one, in time order, if above 1"
    )
    given: tuple[Row, ...] = Field((), max_length=256, description="rows that are given, from 0")

    @property
    def is_first(self) -> bool:
        """Whether the first rows are modelled, in their order."""
        return self.ratio == 1 and self.rows == tuple(range(len(self.rows)))

    @property
    def modelled_sizes(self) -> tuple[int, ...]:
        """Codebook size of each row that the prior has."""
        sizes = tuple(self.codebook_sizes[k] for k in self.rows)
        return sizes if self.ratio == 1 else sizes[:1]

    @property
    def given_sizes(self) -> tuple[int, ...]:
        """Codebook size of each row of `given_of`."""
        place = () if self.ratio == 1 else (self.ratio,)
        return (*place, *(self.codebook_sizes[k] for k in self.given))

    def modelled(self, codes: Int[Tensor, "*B K T"]) -> Int[Tensor, "*B k t"]:
        """Return the codes that the prior has, at their own rate."""
        chosen = codes[..., list(self.rows), :]
        return chosen if self.ratio == 1 else rearrange(chosen, "... r t -> ... 1 (t r)")

    def given_of(self, codes: Int[Tensor, "*B K T"]) -> Int[Tensor, "*B k t"]:
        """Return the codes that are given, each for as long as it lasts, at the prior's rate.

        Of a fast stream the first row says which of its codes in the frame it is.
        """
        chosen = codes[..., list(self.given), :].repeat_interleave(self.ratio, dim=-1)
        if self.ratio == 1:
            return chosen
        place = torch.arange(chosen.shape[-1], device=codes.device) % self.ratio
        place = place.to(codes.dtype).expand(*chosen.shape[:-2], 1, -1)
        return torch.cat((place, chosen), dim=-2)

    def put(
        self, found: Num[Tensor, "*B k t"], codes: Num[Tensor, "*B K T"]
    ) -> Num[Tensor, "*B K T"]:
        """Return codes, or what else there is of each, with the prior's rows replaced."""
        if self.ratio > 1:
            found = rearrange(found, "... 1 (t r) -> ... r t", r=self.ratio)
        codes = codes.clone()
        codes[..., list(self.rows), :] = found
        return codes

    def fits(self) -> bool:
        """Whether rows are there, and no row is modelled twice or modelled and given."""
        rows, K = (*self.rows, *self.given), len(self.codebook_sizes)
        sizes = {self.codebook_sizes[k] for k in self.rows if k < K}
        single = self.ratio == 1 or (self.ratio == len(self.rows) and len(sizes) == 1)
        return max(rows) < K and len(set(rows)) == len(rows) and single


def streams(layout: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the rows of each stream by name; of a fast one, in time order."""
    found: dict[str, tuple[int, ...]] = {}
    for row, name in enumerate(layout):
        numbered = re.fullmatch(r"(fast.*) \d+", name) if "slow" in layout else None
        stream = numbered[1] if numbered else name
        found[stream] = (*found.get(stream, ()), row)
    return found


def choose(
    layout: Sequence[str], sizes: Sequence[int], modelled: Sequence[str], given: Sequence[str]
) -> Part | None:
    """Return the part of a model's codes that those streams are; None for all of them.

    Args:
        layout: what each row of codes holds.
        sizes: codebook size of each.
        modelled: streams to model; none: all.
        given: streams to be given.

    Raises:
        ConfigError: a stream is not there, is named twice, or has another rate than others.
    """
    there = streams(layout)
    for name in (*modelled, *given):
        if name not in there:
            raise ConfigError(f"no stream {name!r} in these codes; there is: {', '.join(there)}")
    if len({*modelled, *given}) < len(modelled) + len(given):
        raise ConfigError(
            f"train.streams={list(modelled)} and train.given_streams={list(given)}: each stream "
            f"once, to be modelled or to be given"
        )
    if not modelled:
        if given:
            raise ConfigError(
                f"train.given_streams={list(given)}: say in train.streams which of the others are "
                f"modelled ({', '.join(n for n in there if n not in given)})"
            )
        return None
    ratio = len(there[modelled[0]])
    if len(modelled) > 1 and any(len(there[name]) > 1 for name in modelled):
        raise ConfigError(
            f"train.streams={list(modelled)} are of several rates: train a prior on each, the "
            f"faster given the slower (train.given_streams)"
        )
    return Part(
        codebook_sizes=tuple(sizes),
        names=tuple(modelled),
        rows=tuple(row for name in modelled for row in there[name]),
        ratio=ratio,
        given=tuple(row for name in given for row in there[name]),
    )
