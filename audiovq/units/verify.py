"""Are the codes a property of the audio? Extract a sample again in other ways, and count flips."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from tqdm import tqdm

from audiovq.data.manifest import Manifest, Record
from audiovq.errors import AudioError, CheckpointError
from audiovq.units.again import Again
from audiovq.units.coder import Coder
from audiovq.units.pipeline import STREAM_SECONDS
from audiovq.units.reading import Units

Codes = Int[Tensor, "K _"]


@dataclass(frozen=True)
class Way:
    """How often one way of extracting gave another code than the one that is stored.

    Attributes:
        name: what was done.
        codes: codes compared.
        flips: those that differ.
        utterances: ids with a code that differs.
    """

    name: str
    codes: int
    flips: int
    utterances: tuple[str, ...]


@dataclass(frozen=True)
class Verification:
    """What came of extracting a sample again.

    Attributes:
        exact: whether the codes were promised to be the same.
        ways: each way, and its flips.
        margins: quantiles, by their names, of the relative change of a frame that would flip its
            code (rounding is about 1e-7); empty where codes are not found as the nearest of a
            codebook.
        flipped_margins: the same of the codes that flipped.
    """

    exact: bool
    ways: tuple[Way, ...]
    margins: dict[str, float]
    flipped_margins: dict[str, float]

    @property
    def flips(self) -> int:
        """All codes that differ, in any way."""
        return sum(way.flips for way in self.ways)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "exact": self.exact,
            "flips": self.flips,
            "ways": [vars(way) | {"utterances": list(way.utterances)} for way in self.ways],
            "margins": self.margins,
            "flipped_margins": self.flipped_margins,
        }

    def table(self) -> str:
        """Return the figures as aligned text."""
        rows = [("", "codes", "differ", "first in")]
        rows += [
            (w.name, f"{w.codes:,}", f"{w.flips:,}", (w.utterances or ("",))[0]) for w in self.ways
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = [
            f"{a.ljust(widths[0])}  {b.rjust(widths[1])}  {c.rjust(widths[2])}  {d}".rstrip()
            for a, b, c, d in rows
        ]
        for what, found in (
            ("all codes", self.margins),
            ("codes that differ", self.flipped_margins),
        ):
            if found:
                shown = ", ".join(f"{k} {v:.1e}" for k, v in found.items())
                lines.append(f"relative change of a frame that flips its code, {what}: {shown}")
        return "\n".join(lines)


def verify(
    units: Units, coder: Coder, manifest: Manifest, *, codes: int = 20_000, progress: bool = True
) -> Verification:
    """Extract a sample again: alone, in company, padded, in blocks, and with two threads.

    Args:
        units: what was extracted.
        coder: what extracted it.
        manifest: the corpus.
        codes: how many codes to compare at least, if there are as many; utterances are drawn by a
            hash of their ids.
        progress: show a bar on stderr.

    Raises:
        CheckpointError: the coder is another, or the corpus lacks an utterance.
        AudioError: a recording cannot be read any more.
    """
    if coder.fingerprint() != units.metadata.model_hash:
        raise CheckpointError(
            f"{units.folder} was not made by this model or k-means: give the one that made it"
        )
    records = {r.id: r for r in manifest.records}
    sample = _sample(units, codes)
    if missing := [name for name in sample if name not in records]:
        raise CheckpointError(f"{manifest.path} has no utterance {missing[0]!r}: another corpus")
    chosen = [records[name] for name in sample]
    tally = _Tally(units, [r.id for r in chosen])
    exact = units.metadata.exact
    ways = Again(coder, manifest, exact=exact).ways()
    with tqdm(total=len(ways) * len(chosen), desc="verifying", disable=not progress) as bar:
        for name, way in ways.items():
            for record, found in way(chosen):
                if isinstance(found, AudioError):
                    raise found
                tally.add(name, record, found)
                bar.update()
    margins, flipped = _margins(coder, manifest, chosen, tally)
    return Verification(exact, tally.ways(), margins, flipped)


def _sample(units: Units, codes: int) -> list[str]:
    """Return ids, spread over the corpus, of at least that many codes."""
    order = sorted(units.ids(), key=lambda name: hashlib.sha256(name.encode()).digest())
    chosen, total = [], 0
    for name in order:
        chosen.append(name)
        total += units[name].codes.numel()
        if total >= codes:
            break
    return chosen


class _Tally:
    """Flips by way and utterance."""

    def __init__(self, units: Units, names: Sequence[str]) -> None:
        self._units, self._names = units, names
        self._found: dict[str, tuple[int, dict[str, Tensor]]] = {}

    def add(self, way: str, record: Record, found: Codes) -> None:
        stored = self._units[record.id].codes
        if stored.shape != found.shape:
            raise CheckpointError(
                f"{record.id!r} has {tuple(stored.shape)} codes, and {tuple(found.shape)} now: "
                f"another recording"
            )
        codes, flips = self._found.get(way, (0, {}))
        if bool((stored != found).any()):
            flips[record.id] = stored != found
        self._found[way] = codes + stored.numel(), flips

    def ways(self) -> tuple[Way, ...]:
        return tuple(
            Way(name, codes, sum(int(f.sum()) for f in flips.values()), tuple(flips))
            for name, (codes, flips) in self._found.items()
        )

    def flipped(self, record: Record) -> Tensor | None:
        """Return where an utterance's codes flipped in any way."""
        found = [f[record.id] for _, f in self._found.values() if record.id in f]
        return torch.stack(found).any(dim=0) if found else None


def _margins(
    coder: Coder, manifest: Manifest, records: Sequence[Record], tally: _Tally
) -> tuple[dict[str, float], dict[str, float]]:
    """Return quantiles of all margins and of those of flipped codes."""
    everything, flipped = [], []
    for record in records:
        if record.duration > STREAM_SECONDS:
            continue
        x = manifest.load(record, coder.sample_rate)
        margins = coder.margins(x)
        if margins is None:
            return {}, {}
        everything.append(margins.flatten())
        where = tally.flipped(record)
        if where is not None:
            flipped.append(margins[where])
    return _quantiles(everything), _quantiles(flipped)


def _quantiles(parts: Sequence[Tensor]) -> dict[str, float]:
    values = torch.cat(list(parts)).sort().values if parts else torch.empty(0)
    if not len(values):
        return {}
    places = {"least": 0.0, "1 in 1,000": 0.001, "1 in 100": 0.01, "median": 0.5}
    return {name: float(values[int(q * (len(values) - 1))]) for name, q in places.items()}
