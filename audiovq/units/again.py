"""Ways to extract the same recordings again."""

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from audiovq.data.manifest import Manifest, Record
from audiovq.errors import AudioError
from audiovq.units.coder import Coder, ModelCoder
from audiovq.units.pipeline import STREAM_SECONDS, Pipeline

_COMPANY = 8  # items in a batch
_BLOCKS = (977, 16000, 54321)  # samples per block when chunked

Results = Iterator[tuple[Record, Int[Tensor, "K _"] | AudioError]]


class Again:
    """A coder and a corpus, and what can be done with them.

    Args:
        coder: what extracted the codes.
        manifest: the corpus.
        exact: whether codes may depend on nothing else.
    """

    def __init__(self, coder: Coder, manifest: Manifest, *, exact: bool) -> None:
        self._coder, self._manifest, self._exact = coder, manifest, exact

    def ways(self) -> dict[str, Callable[[Sequence[Record]], Results]]:
        """Return every way by its name."""
        found: dict[str, Callable[[Sequence[Record]], Results]] = {
            "alone": self._alone,
            f"in company of {_COMPANY - 1} others": self._in_company,
            f"in blocks of {', '.join(map(str, _BLOCKS))} samples": self._in_blocks,
            "two threads side by side": self._threads,
        }
        if isinstance(self._coder, ModelCoder):
            found[f"padded to the longest of {_COMPANY}"] = self._padded
        return found

    def _load(self, record: Record) -> Float[Tensor, "1 1 L"]:
        return self._manifest.load(record, self._coder.sample_rate)

    def _alone(self, records: Sequence[Record]) -> Results:
        for record in _short(records):
            yield record, self._coder.encode([self._load(record)], exact=self._exact)[0]

    def _in_company(self, records: Sequence[Record]) -> Results:
        for group in _groups(_short(records)):
            waves = [self._load(r) for r in reversed(group)]
            yield from zip(
                reversed(group), self._coder.encode(waves, exact=self._exact), strict=True
            )

    def _in_blocks(self, records: Sequence[Record]) -> Results:
        for i, record in enumerate(records):
            long = record.duration > STREAM_SECONDS
            parts = (
                self._manifest.blocks(record, self._coder.sample_rate)
                if long
                else torch.split(self._load(record), _BLOCKS[i % len(_BLOCKS)], dim=-1)
            )
            yield record, torch.cat(list(self._coder.encode_blocks(parts)), dim=-1)

    def _threads(self, records: Sequence[Record]) -> Results:
        with Pipeline(self._coder, self._manifest, exact=self._exact, threads=2) as pipeline:
            futures = [(g, pipeline.submit(g)) for g in _groups(records)]
            for group, future in futures:
                yield from zip(group, future.result(), strict=True)

    def _padded(self, records: Sequence[Record]) -> Results:
        assert isinstance(self._coder, ModelCoder)
        model = self._coder.model
        device = next(model.parameters()).device
        for group in _groups(_short(records)):
            waves = [self._load(r) for r in group]
            lengths = torch.tensor([x.shape[-1] for x in waves])
            longest = int(lengths.max())
            x = torch.cat([F.pad(x, (0, longest - x.shape[-1])) for x in waves])
            found = model.encode(x.to(device), lengths.to(device), exact=self._exact).cpu()
            for record, codes, frames in zip(group, found, model.frames(lengths), strict=True):
                yield record, codes[:, : int(frames)]


def _short(records: Sequence[Record]) -> list[Record]:
    """Return the records that fit into memory; the others are streamed, and only that."""
    return [r for r in records if r.duration <= STREAM_SECONDS]


def _groups(records: Sequence[Record]) -> list[list[Record]]:
    """Return records in small batches; long ones alone."""
    short = _short(records)
    groups = [short[i : i + _COMPANY] for i in range(0, len(short), _COMPANY)]
    return groups + [[r] for r in records if r.duration > STREAM_SECONDS]
