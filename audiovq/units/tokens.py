"""From codes to the token sequences that a downstream model reads, and back.

Three steps, each of which can be undone: choose rows of codes (codebooks), merge runs of equal
frames into one token with a duration, lay the rows out as one stream or several. For two
codebooks a, b over three frames, where `.` is padding:

    parallel   a0 a1 a2        delay   a0 a1 a2 .        flatten   a0 b0 a1 b1 a2 b2
               b0 b1 b2                .  b0 b1 b2       first     a0 a1 a2

Source: delay is the pattern of MusicGen (Copet et al. 2023, "Simple and controllable music
generation", 3.1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field, field_validator
from torch import Tensor

from audiovq.config import Config
from audiovq.errors import ConfigError
from audiovq.units.reading import Units
from audiovq.units.record import UnitRecord

Pattern = Literal["parallel", "flatten", "delay", "first"]


class TokenConfig(Config):
    """How codes become tokens."""

    codebooks: tuple[int, ...] | None = Field(
        None, min_length=1, description="rows of codes, from 0, in this order; none: all"
    )
    pattern: Pattern = Field("parallel", description="parallel, flatten, delay or first")
    deduplicate: bool = Field(False, description="merge frames whose chosen codes are all equal")
    offsets: bool | None = Field(
        None, description="give every codebook ids of its own; none: only where flattened"
    )
    bos: bool = Field(False, description="start every sequence with the token bos")
    eos: bool = Field(False, description="end every sequence with the token eos")

    @field_validator("codebooks")
    @classmethod
    def _once_each(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is not None and (min(value) < 0 or len(set(value)) < len(value)):
            raise ValueError("rows are counted from 0, and each is named once")
        return value


@dataclass(frozen=True)
class Vocabulary:
    """The ids of a tokenizer.

    Attributes:
        size: number of ids, special ones included.
        pad: id of padding.
        bos: id of the start of a sequence.
        eos: id of the end of a sequence.
    """

    size: int
    pad: int
    bos: int
    eos: int


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """The tokens of one utterance: S streams of n.

    Attributes:
        ids: of the vocabulary.
        first: the first frame that each token stands for.
        durations: how many frames it stands for; 0 for special tokens.
        num_samples: length of the utterance at `sample_rate`.
        hop_length: samples per frame.
        sample_rate: of the model (Hz).
    """

    ids: Int[Tensor, "S n"]
    first: Int[Tensor, "S n"]
    durations: Int[Tensor, "S n"]
    num_samples: int
    hop_length: int
    sample_rate: int

    @property
    def starts(self) -> Float[Tensor, "S n"]:
        """When each token starts (s)."""
        return self._seconds(self.first)

    @property
    def ends(self) -> Float[Tensor, "S n"]:
        """When each token ends (s), at most the end of the utterance."""
        return self._seconds(self.first + self.durations)

    def _seconds(self, frames: Int[Tensor, "S n"]) -> Float[Tensor, "S n"]:
        samples = (frames * self.hop_length).clamp(max=self.num_samples)
        return samples.to(torch.float64) / self.sample_rate


class Tokenizer:
    """Turns the codes of an utterance into tokens, and tokens into codes.

    Ids of codes come first, so that without offsets the id of a code is the code; the three
    special tokens come last, in the order pad, bos, eos, and are there whether used or not.

    Args:
        config: codebooks, pattern, deduplication, special tokens.
        codebook_sizes: N of every row of codes, chosen or not.
        sample_rate: of the model (Hz).
        hop_length: samples per frame.

    Attributes:
        rows: the chosen rows.
        sizes: codebook size N of each chosen row.
        offsets: what is added to the codes of each chosen row.
        units: number of ids that stand for codes: [0, units).
        vocabulary: number of ids, and the special ones.
        streams: number S of sequences per utterance.

    Raises:
        ConfigError: a row is chosen that is not there.
    """

    def __init__(
        self,
        config: TokenConfig,
        codebook_sizes: Sequence[int],
        sample_rate: int,
        hop_length: int,
    ) -> None:
        rows = config.codebooks or tuple(range(len(codebook_sizes)))
        if max(rows) >= len(codebook_sizes):
            raise ConfigError(
                f"codebook {max(rows)} was asked for; the units have {len(codebook_sizes)}, "
                f"numbered from 0"
            )
        self.config, self.codebook_sizes = config, tuple(codebook_sizes)
        self.sample_rate, self.hop_length = sample_rate, hop_length
        self.rows = rows[:1] if config.pattern == "first" else rows
        flat = config.pattern == "flatten"
        self.streams = 1 if flat else len(self.rows)
        self.sizes = tuple(codebook_sizes[r] for r in self.rows)
        apart = flat if config.offsets is None else config.offsets
        self.offsets = (0, *accumulate(self.sizes[:-1])) if apart else (0,) * len(self.sizes)
        self.units = n = sum(self.sizes) if apart else max(self.sizes)
        self.vocabulary = Vocabulary(size=n + 3, pad=n, bos=n + 1, eos=n + 2)

    @classmethod
    def of(cls, units: Units, config: TokenConfig | None = None) -> "Tokenizer":
        """Return the tokenizer for the units of a corpus."""
        m = units.metadata
        return cls(config or TokenConfig(), m.codebook_sizes, m.sample_rate, m.hop_length)

    def encode(self, record: UnitRecord) -> Tokens:
        """Return the tokens of an utterance."""
        codes = record.codes[list(self.rows)]
        durations = codes.new_ones(codes.shape[1])
        if self.config.deduplicate:
            codes, durations = deduplicate(codes)
        first = durations.cumsum(0) - durations
        end, v = int(durations.sum()), self.vocabulary
        ids = codes + torch.tensor(self.offsets).unsqueeze(1)
        return Tokens(
            ids=self._lay_out(ids, (v.pad, v.pad), (v.bos, v.eos)),
            first=self._lay_out(first.expand_as(ids), (0, end), (0, end)),
            durations=self._lay_out(durations.expand_as(ids), (0, 0), (0, 0)),
            num_samples=record.num_samples,
            hop_length=self.hop_length,
            sample_rate=self.sample_rate,
        )

    def decode(
        self, ids: Int[Tensor, "S n"], durations: Int[Tensor, "S n"] | None = None
    ) -> Int[Tensor, "K T"]:
        """Return the codes of the chosen rows; the exact inverse of `encode`.

        Args:
            ids: tokens; bos at the start, eos at the end and padding after that are dropped.
            durations: frames that each stands for; None: one each, which of deduplicated
                tokens gives the codes of runs.

        Raises:
            ConfigError: they are not tokens of this tokenizer, as a model under training may
                generate.
        """
        if ids.shape[0] != self.streams:
            raise ConfigError(
                f"{ids.shape[0]} streams of tokens given; this tokenizer has {self.streams}"
            )
        inside = self._inside(ids)
        tokens = self._collect(ids[:, inside])
        codes = tokens - torch.tensor(self.offsets).unsqueeze(1)
        wrong = (codes < 0) | (codes >= torch.tensor(self.sizes).unsqueeze(1))
        if wrong.any():
            raise ConfigError(
                f"token {int(tokens[wrong][0])} is not of the codebook that its place says: "
                f"these are not tokens of this tokenizer"
            )
        if durations is None:
            return codes
        return codes.repeat_interleave(self._collect(durations[:, inside])[0], dim=1)

    def _lay_out(
        self, x: Int[Tensor, "K T"], fill: tuple[int, int], around: tuple[int, int]
    ) -> Int[Tensor, "S n"]:
        """Lay rows out as streams; `fill` before and after a delayed row, `around` all."""
        K, T = x.shape
        if self.config.pattern == "flatten":
            x = x.t().reshape(1, -1)
        elif self.config.pattern == "delay":
            rows = [_pad(x[k : k + 1], (k, K - 1 - k), fill) for k in range(K)]
            x = torch.cat(rows) if T else x
        return _pad(x, (int(self.config.bos), int(self.config.eos)), around)

    def _collect(self, x: Int[Tensor, "S n"]) -> Int[Tensor, "K T"]:
        """Undo the layout."""
        K, n = len(self.rows), x.shape[1]
        if self.config.pattern == "flatten":
            if n % K:
                raise ConfigError(f"{n} flattened tokens are not whole frames of {K} codebooks")
            return x.reshape(-1, K).t()
        if self.config.pattern == "delay" and n:
            if n < K:
                raise ConfigError(f"{n} delayed tokens hold no frame of {K} codebooks")
            return torch.stack([x[k, k : n - (K - 1 - k)] for k in range(K)])
        return x

    def _inside(self, ids: Int[Tensor, "S n"]) -> slice:
        """Return where the tokens are without bos, eos and padding."""
        v, end = self.vocabulary, ids.shape[1]
        while end and bool((ids[:, end - 1] == v.pad).all()):
            end -= 1
        start = int(end > 0 and bool((ids[:, 0] == v.bos).all()))
        end -= int(end > start and bool((ids[:, end - 1] == v.eos).all()))
        return slice(start, end)


def deduplicate(codes: Int[Tensor, "K T"]) -> tuple[Int[Tensor, "K n"], Int[Tensor, "n"]]:
    """Merge runs of equal columns; returns a column per run, and how long each run is."""
    T = codes.shape[1]
    if T == 0:
        return codes, codes.new_zeros(0)
    changes = (codes[:, 1:] != codes[:, :-1]).any(0).nonzero()[:, 0] + 1
    starts = torch.cat([changes.new_zeros(1), changes])
    return codes[:, starts], starts.diff(append=starts.new_tensor([T]))


def _pad(
    x: Int[Tensor, "S n"], sizes: tuple[int, int], values: tuple[int, int]
) -> Int[Tensor, "S m"]:
    """Put columns of a value before and others after."""
    before, after = (x.new_full((x.shape[0], n), v) for n, v in zip(sizes, values, strict=True))
    return torch.cat([before, x, after], dim=1)
