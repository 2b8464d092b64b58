"""Units as PyTorch data: one by one, or streamed by several workers and processes; batches.

    units = audiovq.units.load("units")
    tokenizer = Tokenizer.of(units, TokenConfig(codebooks=(0,)))
    data = UnitDataset(units, tokenizer, split="train")
    batches = TokenBatches(data.lengths(), max_tokens=20_000, seed=0)
    loader = DataLoader(data, batch_sampler=batches, collate_fn=partial(collate, pad=data.pad))

Every order is a pure function of (seed, epoch), whatever the number of workers and processes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset, IterableDataset, Sampler, get_worker_info

from audiovq.errors import ConfigError
from audiovq.nn import random
from audiovq.nn.tree import register_output
from audiovq.units.export import Encoder
from audiovq.units.reading import Units
from audiovq.units.record import UnitRecord
from audiovq.units.tokens import Tokens


@dataclass(frozen=True, kw_only=True)
class UnitItem:
    """An utterance and its tokens."""

    record: UnitRecord
    tokens: Tokens


@register_output
@dataclass(frozen=True, kw_only=True, slots=True)
class UnitBatch:
    """Utterances padded to the longest of them; (B, n) tokens of one stream, (B, S, n) of more.

    Attributes:
        tokens: ids; `pad` past each item's end.
        durations: frames per token; 0 past each item's end.
        lengths: tokens per item.
        mask: True within each item.
        ids: utterance of each item.
        speakers: speaker of each item, None where unknown.
        texts: what each says, None where unknown.
    """

    tokens: Int[Tensor, "B *S n"]
    durations: Int[Tensor, "B *S n"]
    lengths: Int[Tensor, "B"]
    mask: Bool[Tensor, "B n"]
    ids: tuple[str, ...]
    speakers: tuple[str | None, ...]
    texts: tuple[str | None, ...]

    def to(self, device: torch.device | str) -> "UnitBatch":
        """Return the batch on a device."""
        return self._each(lambda x: x.to(device))

    def pin_memory(self) -> "UnitBatch":
        """Return the batch in page-locked memory, as a DataLoader asks for."""
        return self._each(lambda x: x.pin_memory())

    def _each(self, change: Any) -> "UnitBatch":
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return UnitBatch(
            **{k: change(v) if isinstance(v, Tensor) else v for k, v in values.items()}
        )


class UnitDataset(Dataset[UnitItem]):
    """Utterances by number, read when asked for.

    Args:
        units: the corpus.
        encoder: a tokenizer, with or without BPE.
        split: which utterances; None: all.

    Attributes:
        ids: of the utterances.
        pad: id to pad with.
    """

    def __init__(self, units: Units, encoder: Encoder, split: str | None = None) -> None:
        self.units, self.encoder, self.split = units, encoder, split
        self.ids = units.ids() if split is None else [r.id for r in units.select(split)]
        self.pad = encoder.vocabulary.pad

    def __len__(self) -> int:
        """Number of utterances."""
        return len(self.ids)

    def __getitem__(self, index: int) -> UnitItem:
        """Return the utterance of that number."""
        record = self.units[self.ids[index]]
        return UnitItem(record=record, tokens=self.encoder.encode(record))

    def lengths(self) -> list[int]:
        """Return the tokens per utterance, in one pass over the corpus."""
        return [self.encoder.encode(r).ids.shape[1] for r in self.units.select(self.split)]


class UnitStream(IterableDataset[UnitItem]):
    """Utterances in order, or shuffled, each given by one worker of one process.

    Args:
        units: the corpus.
        encoder: a tokenizer, with or without BPE.
        split: which utterances; None: all.
        seed: shuffles them, differently in every epoch; None: in the corpus's order.
        part: which of how many equal parts this process gives, as (rank, world size).
        even: every part gives equally many; the last few of the order, fewer than there are
            parts, are left out.

    Shuffled, utterances are read by id; in order, every worker reads through the whole corpus.
    """

    def __init__(
        self,
        units: Units,
        encoder: Encoder,
        split: str | None = None,
        *,
        seed: int | None = None,
        part: tuple[int, int] = (0, 1),
        even: bool = False,
    ) -> None:
        _check(part)
        self.units, self.encoder, self.split = units, encoder, split
        self.seed, self.part, self.even = seed, part, even
        self._epoch = torch.zeros((), dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]  # workers may live on

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration, in workers that live on too."""
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[UnitItem]:
        """Yield this worker's utterances of this process's part."""
        worker = get_worker_info()
        index, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        rank, parts = self.part
        mine = islice(self._order(), rank, None, parts)
        for record in islice(mine, index, None, workers):
            found = self.units[record] if isinstance(record, str) else record
            yield UnitItem(record=found, tokens=self.encoder.encode(found))

    def _order(self) -> Iterator[UnitRecord | str]:
        """Yield what all parts give together: records, or ids where they are shuffled."""
        parts = self.part[1] if self.even else 1
        if self.seed is None:
            total = self._count() if parts > 1 else 0
            yield from islice(self.units.select(self.split), total // parts * parts or None)
            return
        whole = self.split is None
        ids = self.units.ids() if whole else [r.id for r in self.units.select(self.split)]
        order = permutation(len(ids), self.seed, int(self._epoch))
        for i in order[: len(ids) // parts * parts]:
            yield ids[i]

    def _count(self) -> int:
        return (
            len(self.units) if self.split is None else sum(1 for _ in self.units.select(self.split))
        )


class TokenBatches(Sampler[list[int]]):
    """Batches of a bounded number of tokens, padding included, of utterances of like length.

    Args:
        lengths: tokens per utterance (`UnitDataset.lengths()`).
        max_tokens: the most in a batch: its items times the longest of them.
        seed: shuffles utterances and batches, differently in every epoch; None: by length.
        part: which of how many equal parts of the batches this process gives, as
            (rank, world size); the last few, fewer than there are parts, are left out.
        window: utterances, of the shuffled order, that are sorted by length together.

    Raises:
        ConfigError: an utterance is longer than `max_tokens`.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        max_tokens: int,
        *,
        seed: int | None = 0,
        part: tuple[int, int] = (0, 1),
        window: int = 4096,
    ) -> None:
        _check(part)
        if lengths and max(lengths) > max_tokens:
            raise ConfigError(
                f"an utterance of {max(lengths)} tokens is longer than max_tokens={max_tokens}: "
                f"allow more, or leave such utterances out"
            )
        self.lengths, self.max_tokens, self.window = list(lengths), max_tokens, window
        self.seed, self.part, self.epoch = seed, part, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        """Yield this process's batches of utterance numbers."""
        rank, parts = self.part
        batches = self._all()
        return iter(batches[rank : len(batches) // parts * parts : parts])

    def __len__(self) -> int:
        """Number of this process's batches in this epoch."""
        return len(self._all()) // self.part[1]

    def _all(self) -> list[list[int]]:
        n = len(self.lengths)
        order = list(range(n)) if self.seed is None else permutation(n, self.seed, self.epoch)
        window = n if self.seed is None else self.window
        batches: list[list[int]] = []
        for start in range(0, n, max(window, 1)):
            batches += self._pack(
                sorted(order[start : start + window], key=self.lengths.__getitem__)
            )
        if self.seed is None:
            return batches
        return [batches[i] for i in permutation(len(batches), self.seed, self.epoch, "batches")]

    def _pack(self, order: list[int]) -> list[list[int]]:
        """Cut utterances, shortest first, into batches as full as they may be."""
        batches: list[list[int]] = [[]]
        for i in order:
            if (len(batches[-1]) + 1) * self.lengths[i] > self.max_tokens:
                batches.append([])
            batches[-1].append(i)
        return [b for b in batches if b]


def collate(items: Sequence[UnitItem], pad: int) -> UnitBatch:
    """Put utterances into one batch, padded to the longest.

    Args:
        items: as the data sets give them.
        pad: id to pad with: `encoder.vocabulary.pad`.
    """
    lengths = torch.tensor([i.tokens.ids.shape[1] for i in items])
    return UnitBatch(
        tokens=_padded([i.tokens.ids for i in items], pad),
        durations=_padded([i.tokens.durations for i in items], 0),
        lengths=lengths,
        mask=torch.arange(int(lengths.max())) < lengths.unsqueeze(1),
        ids=tuple(i.record.id for i in items),
        speakers=tuple(i.record.speaker for i in items),
        texts=tuple(i.record.text for i in items),
    )


def permutation(size: int, seed: int, epoch: int, name: str = "order") -> list[int]:
    """Return the numbers below `size` in an order that depends on the arguments alone."""
    key = random.bits(torch.tensor([seed]), f"{name} {epoch}", size)[0]
    return key.argsort(stable=True).tolist()


def _padded(streams: list[Int[Tensor, "S _"]], value: int) -> Int[Tensor, "B *S n"]:
    found = pad_sequence([s.t() for s in streams], batch_first=True, padding_value=value)
    return found.transpose(1, 2).squeeze(1)  # of one stream, (B, n)


def _check(part: tuple[int, int]) -> None:
    if not 0 <= part[0] < part[1]:
        raise ConfigError(f"part={part} is not (rank, world size), with rank from 0")
