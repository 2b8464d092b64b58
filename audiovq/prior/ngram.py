"""n-grams of codes, interpolated: the cheap baseline that neural priors must beat."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from audiovq.config import ComponentConfig
from audiovq.errors import CheckpointError, ConfigError
from audiovq.prior._base import Condition, Place, Prior, Steps
from audiovq.prior._condition import NOTHING
from audiovq.prior._kneser_ney import Table, adds_up, count, find, read

_BLOCK = 1 << 21  # probabilities computed at a time, 8 bytes each
_FIELDS = ("contexts", "entries", "kept", "rest")


class Config(ComponentConfig):
    """Settings of the n-grams."""

    order: int = Field(
        3, ge=1, le=32, description="frames of a row in an n-gram, the one predicted included"
    )


@runtime_checkable
class Record(Protocol):
    """What holds the codes of an utterance."""

    @property
    def codes(self) -> Int[Tensor, "K T"]:
        """Its codes."""


@runtime_checkable
class Corpus(Protocol):
    """What gives the utterances of a split, as `audiovq.units.load` does."""

    def select(self, split: str | None) -> Iterable[Record]:
        """Yield the utterances of one split; all for None."""


class NGram(Prior):
    """Interpolated Kneser-Ney with modified discounts, frame by frame, row by row.

    A code of an n-gram is predicted from the rows above it in its frame, nearest first, then from
    the n - 1 frames of its own row before it; a shorter context lacks the last of these. Conditions
    are ignored. Nothing is learned by gradient: `fit` counts; until then all codes are equally
    likely.

    Source: Chen & Goodman 1998, "An empirical study of smoothing techniques for language
    modeling". Differs in: a sequence's end is no symbol, as its length is given.

    Buffers: for row k and order m, `row{k}_order{m}_{field}` for each field of `Table`.
    """

    def __init__(self, config: Config, codebook_sizes: Sequence[int], labels: int = 0) -> None:
        super().__init__()
        self.config, self.labels = config, labels
        self.codebook_sizes = tuple(codebook_sizes)
        self._symbols = max(self.codebook_sizes) + 1  # the last stands before frame 0
        self.seen = [_seen(row, config.order - 1) for row in range(self.num_codebooks)]
        self.context = max((lag for seen in self.seen for _, lag in seen), default=0)
        for row in range(self.num_codebooks):
            for order in self._orders_of(row):
                for field in _FIELDS:
                    kind = torch.float64 if field in {"kept", "rest"} else torch.int64
                    self.register_buffer(_buffer(row, order, field), torch.empty(0, dtype=kind))

    @torch.no_grad()
    def fit(
        self,
        corpus: Corpus | Iterable[tuple[Int[Tensor, "K _"], Any] | Int[Tensor, "K _"]],
        split: str | None = "train",
    ) -> None:
        """Count the n-grams of a corpus, in place of any counted before.

        Args:
            corpus: units, or each utterance's codes, alone or with a label, which is ignored. All
                are held in memory, 8 bytes for a code and for each that it is predicted from.
            split: which utterances of units; None: all. Of anything else, all are used.

        Raises:
            ConfigError: there are no codes, or they do not fit the codebooks.
        """
        found: list[list[Tensor]] = [[] for _ in self.codebook_sizes]
        histories: list[list[Tensor]] = [[] for _ in self.codebook_sizes]
        for codes in _utterances(corpus, split):
            codes = self._checked(codes).cpu().unsqueeze(0)  # noqa: PLW2901
            for row in range(self.num_codebooks):
                found[row].append(codes[0, row])
                histories[row].append(self.history(codes, row))
        if not found[0]:
            raise ConfigError(f"no codes to count in the split {split!r}: name one that has some")
        for row, size in enumerate(self.codebook_sizes):
            tables = count(torch.cat(histories[row]), torch.cat(found[row]), size, self._symbols)
            for order, table in enumerate(tables, 1):
                self._keep(row, order, table)

    def forward(
        self,
        codes: Int[Tensor, "B K T"],
        lengths: Int[Tensor, "B"] | None = None,  # noqa: ARG002  nothing depends on what follows
        condition: Condition = NOTHING,  # noqa: ARG002
    ) -> Float[Tensor, "B K N T"]:
        """Return the logarithm of every code's probability; they add up to one exactly."""
        B, _, T = codes.shape
        rows = [self.predict(row, self.history(codes, row)) for row in range(self.num_codebooks)]
        return torch.stack([x.view(B, T, -1).transpose(1, 2) for x in rows], dim=1)

    def log_prob(
        self,
        codes: Int[Tensor, "B K T"],
        lengths: Int[Tensor, "B"] | None = None,
        condition: Condition = NOTHING,  # noqa: ARG002
    ) -> Float[Tensor, "B K T"]:
        """Return what the base class does, without computing the codes that are not there."""
        B, _, T = codes.shape
        rows = []
        for row in range(self.num_codebooks):
            history, wanted = self.history(codes, row), codes[:, row].flatten()
            rows.append(self._chosen(row, history, wanted).log().float().view(B, T))
        found = torch.stack(rows, dim=1)
        if lengths is None:
            return found
        inside = torch.arange(T, device=codes.device) < lengths.view(-1, 1, 1)
        return torch.where(inside, found, 0.0)

    def groups(self, frames: int) -> Iterator[Sequence[Place]]:
        """Yield the codes one by one: frame by frame, and in each row by row."""
        return ([(row, t)] for t in range(frames) for row in range(self.num_codebooks))

    def steps(self, batch: int, frames: int, condition: Condition = NOTHING) -> Steps:  # noqa: ARG002
        """Begin sequences, of which the last few frames are kept; conditions are ignored."""
        return _Steps(self, batch, frames)

    def table(self, row: int, order: int) -> Table:
        """Return the n-grams of one row and order."""
        return Table(*(getattr(self, _buffer(row, order, field)) for field in _FIELDS))

    def _keep(self, row: int, order: int, table: Table) -> None:
        for field in _FIELDS:
            name = _buffer(row, order, field)
            setattr(self, name, getattr(table, field).to(getattr(self, name).device))

    def history(self, codes: Int[Tensor, "B K T"], row: int) -> Int[Tensor, "P M"]:
        """Return what each code of a row is predicted from, nearest first; P = B x T."""
        T, reach, seen = codes.shape[-1], self.context or 0, self.seen[row]
        if not seen:
            return codes.new_empty(codes.shape[0] * T, 0)
        padded = F.pad(codes, (reach, 0), value=self._symbols - 1)
        columns = [padded[:, r, reach - lag : reach - lag + T].flatten() for r, lag in seen]
        return torch.stack(columns, dim=1)

    def _orders(
        self, row: int, history: Int[Tensor, "P M"]
    ) -> Iterator[tuple[Table, Int[Tensor, "P"], Bool[Tensor, "P"]]]:
        """Yield each order's table, the place of every context in it, and whether it is there."""
        wanted, known = history.new_zeros(len(history)), None
        for order in self._orders_of(row):
            table = self.table(row, order)
            place, hit = find(table.contexts, wanted)
            known = hit if known is None else known & hit
            yield table, place, known
            if order <= history.shape[1]:
                wanted = place * self._symbols + history[:, order - 1]

    def _orders_of(self, row: int) -> range:
        return range(1, len(self.seen[row]) + 2)

    def _chosen(
        self, row: int, history: Int[Tensor, "P M"], codes: Int[Tensor, "P"]
    ) -> Float[Tensor, "P"]:
        """Return the probability of one code after each history."""
        size = self.codebook_sizes[row]
        found = torch.full(codes.shape, 1.0 / size, dtype=torch.float64, device=codes.device)
        for table, place, known in self._orders(row, history):
            if not len(table.contexts):
                break
            entry, hit = find(table.entries, place * size + codes)
            kept = torch.where(hit, table.kept[entry], 0.0)
            found = torch.where(known, table.rest[place] * found + kept, found)
        return found

    def predict(self, row: int, history: Int[Tensor, "P M"]) -> Float[Tensor, "P N"]:
        """Return the logits of a row's code after each history, nearest code first."""
        N, size = max(self.codebook_sizes), self.codebook_sizes[row]
        logits = torch.full((len(history), N), -torch.inf, device=history.device)
        block = max(1, _BLOCK // size)
        for start in range(0, len(history), block):
            part = slice(start, start + block)
            logits[part, :size] = self.probabilities(row, history[part]).log()
        return logits

    def probabilities(self, row: int, history: Int[Tensor, "P M"]) -> Float[Tensor, "P _"]:
        """Return the probability of every code after each history."""
        size = self.codebook_sizes[row]
        found = torch.full((1, size), 1.0 / size, dtype=torch.float64, device=history.device)
        for order, (table, place, known) in enumerate(self._orders(row, history), 1):
            if not len(table.contexts):
                break
            if order == 1:  # the same whatever came before
                found = found * table.rest
                found[0, table.entries] += table.kept
                found = found.repeat(len(history), 1)
                continue
            found *= torch.where(known, table.rest[place], 1.0).unsqueeze(1)
            at, entry = _rows_of(table, place[known], size)
            into = known.nonzero()[:, 0][at] * size + table.entries[entry] % size
            found.view(-1).index_add_(0, into, table.kept[entry])
        return found.expand(len(history), -1)

    def _checked(self, codes: Int[Tensor, "K T"]) -> Int[Tensor, "K T"]:
        sizes = torch.tensor(self.codebook_sizes, device=codes.device).unsqueeze(1)
        if len(codes) != self.num_codebooks or bool(((codes < 0) | (codes >= sizes)).any()):
            raise ConfigError(
                f"codes of shape {tuple(codes.shape)} do not fit codebooks of "
                f"{self.codebook_sizes}: give codes of the model this prior is for"
            )
        return codes

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *others: Any, **more: Any
    ) -> None:
        """Take tables of any length, if they are tables."""
        for row, size in enumerate(self.codebook_sizes):
            shorter = 1
            for order in self._orders_of(row):
                names = [prefix + _buffer(row, order, field) for field in _FIELDS]
                if not all(name in state_dict for name in names):
                    continue  # the base class says which are missing
                table = read(*(state_dict[name] for name in names))
                if table is None or not adds_up(table, size, self._symbols, shorter):
                    raise CheckpointError(f"n-grams of order {order} of row {row} are damaged")
                self._keep(row, order, table)
                shorter = len(table.contexts)
        super()._load_from_state_dict(state_dict, prefix, *others, **more)


class _Steps(Steps):
    """Sequences code by code, of which the frames within the context are kept."""

    def __init__(self, prior: NGram, batch: int, frames: int) -> None:
        self._prior, self._next, self._frames = prior, 0, frames
        device = prior.table(0, 1).contexts.device
        self._held = (prior.context or 0) + 1  # frame t is in column t modulo this
        shape = (batch, prior.num_codebooks, self._held)
        self._codes = torch.full(shape, max(prior.codebook_sizes), device=device)

    def logits(self) -> Float[Tensor, "B 1 N"]:
        """Return the logits of the next code."""
        t, row = self._place()
        seen = [self._codes[:, r, (t - lag) % self._held] for r, lag in self._prior.seen[row]]
        history = torch.stack(seen, dim=1) if seen else self._codes.new_empty(len(self._codes), 0)
        return self._prior.predict(row, history).unsqueeze(1)

    def push(self, codes: Int[Tensor, "B 1"]) -> None:
        """Say which code is next."""
        t, row = self._place()
        self._codes[:, row, t % self._held] = codes[:, 0]
        self._next += 1

    def _place(self) -> tuple[int, int]:
        t, row = divmod(self._next, self._prior.num_codebooks)
        if t >= self._frames:
            raise ConfigError(f"all {self._frames} frames that the steps began with are done")
        return t, row


def _seen(row: int, frames: int) -> list[Place]:
    """Return row and frames ago of what a code of a row is predicted from, nearest first."""
    return [(r, 0) for r in range(row - 1, -1, -1)] + [(row, lag + 1) for lag in range(frames)]


def _rows_of(
    table: Table, places: Int[Tensor, "P"], size: int
) -> tuple[Int[Tensor, "E"], Int[Tensor, "E"]]:
    """Return every n-gram of the contexts at some places: the number of the place, and where."""
    starts = torch.searchsorted(table.entries, places * size)
    lengths = torch.searchsorted(table.entries, (places + 1) * size) - starts
    at = torch.repeat_interleave(torch.arange(len(places), device=places.device), lengths)
    before = torch.cumsum(lengths, 0) - lengths
    return at, torch.arange(len(at), device=places.device) + (starts - before)[at]


def _utterances(corpus: Any, split: str | None) -> Iterator[Int[Tensor, "K T"]]:
    if isinstance(corpus, Corpus) and not isinstance(corpus, Tensor):  # which has a `select` too
        return (record.codes for record in corpus.select(split))
    return (item if isinstance(item, Tensor) else item[0] for item in corpus)


def _buffer(row: int, order: int, field: str) -> str:
    return f"row{row}_order{order}_{field}"
