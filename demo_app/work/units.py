"""Deduplicated units of one recording, with times; where each occurs; as files."""

import csv
import io
import re
import tempfile
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jaxtyping import Int
from torch import Tensor

from audiovq.autoencoder import Autoencoder
from audiovq.errors import ConfigError
from audiovq.files import atomic_write
from audiovq.units.formats import _base as formats
from audiovq.units.formats import get as format_named
from audiovq.units.record import UnitRecord
from audiovq.units.tokens import TokenConfig, Tokenizer, deduplicate

from ..sound import Recording, checked

CONTEXT = 0.25  # seconds before and after a unit in a clip


@dataclass(frozen=True)
class Unit:
    """A run of equal codes.

    Attributes:
        number: place in the recording, from 0.
        codes: one of each chosen codebook.
        start: when it begins (s).
        end: when it ends (s).
        frames: how long it lasts.
    """

    number: int
    codes: tuple[int, ...]
    start: float
    end: float
    frames: int

    @property
    def label(self) -> str:
        """The codes as text, such as "417" or "417.3"."""
        return ".".join(map(str, self.codes))


@dataclass(frozen=True, kw_only=True)
class Found:
    """The units of a recording.

    Attributes:
        recording: at the model's rate.
        codebooks: rows of codes that make the units.
        codes: every row.
        codebook_sizes: of every row.
        hop_length: samples per frame.
        model_hash: fingerprint of the model.
        units: in order.
    """

    recording: Recording
    codebooks: tuple[int, ...]
    codes: Int[Tensor, "K T"]
    codebook_sizes: tuple[int, ...]
    hop_length: int
    model_hash: str
    units: tuple[Unit, ...]

    @property
    def rate(self) -> float:
        """Units per second."""
        return len(self.units) / self.recording.seconds

    def header(self) -> list[str]:
        """Return the names of the table's columns, with units."""
        columns = [f"codebook {k}" for k in self.codebooks]
        return ["number", *columns, "start (s)", "end (s)", "frames"]

    def rows(self) -> list[list[int | float]]:
        """Return the table: a row per unit, in order."""
        return [
            [u.number, *u.codes, round(u.start, 3), round(u.end, 3), u.frames] for u in self.units
        ]

    def at(self, seconds: float) -> Unit:
        """Return the unit at a time, such as that of a click on the picture; else the nearest."""
        after = bisect_right([u.start for u in self.units], seconds)
        return self.units[max(0, after - 1)]


@dataclass(frozen=True)
class Clip:
    """A unit as it sounds somewhere, with some context.

    Attributes:
        recording: the sound; its name says where it is from.
        start: when the unit begins in it (s).
        end: when it ends in it (s).
        where: in words, such as "here, 1.24 s" or "1089-134686-0001, 3.10 s, speaker 1089".
    """

    recording: Recording
    start: float
    end: float
    where: str


def units(
    model: Autoencoder, recording: Recording, codebooks: Sequence[int] | None = None
) -> Found:
    """Return the units of a recording.

    Args:
        model: a discrete one.
        recording: at any rate.
        codebooks: rows of codes, from 0, that must all be equal within a unit; None: the first.

    Raises:
        ConfigError: the model is continuous, or has no such row.
        AudioError: the recording is empty or not finite.
    """
    heard = checked(recording).at(model.sample_rate)
    rows = _rows(model, codebooks)
    device = next(model.parameters()).device
    codes = model.encode(heard.x.to(device), exact=True)[0].cpu()
    return Found(
        recording=heard,
        codebooks=rows,
        codes=codes,
        codebook_sizes=model.codebook_sizes,
        hop_length=model.hop_length,
        model_hash=model.fingerprint(),
        units=runs(codes[list(rows)], heard.x.shape[-1], model.hop_length, model.sample_rate),
    )


def runs(
    codes: Int[Tensor, "k T"], length: int, hop_length: int, sample_rate: int
) -> tuple[Unit, ...]:
    """Return the runs of equal codes in some rows.

    Args:
        codes: chosen rows.
        length: of the recording (samples); the last unit ends there.
        hop_length: samples per frame.
        sample_rate: Hz.
    """
    columns, durations = deduplicate(codes)
    ends = durations.cumsum(0)
    starts = ends - durations
    each = zip(columns.T.tolist(), starts.tolist(), ends.tolist(), strict=True)
    return tuple(
        Unit(
            number=number,
            codes=tuple(column),
            start=start * hop_length / sample_rate,
            end=min(end * hop_length, length) / sample_rate,
            frames=end - start,
        )
        for number, (column, start, end) in enumerate(each)
    )


def occurrences(found: Found, codes: Sequence[int]) -> list[Unit]:
    """Return where a unit occurs in the recording."""
    return [u for u in found.units if u.codes == tuple(codes)]


def clips(
    found: Found, codes: Sequence[int], *, context: float = CONTEXT, limit: int = 12
) -> list[Clip]:
    """Return the sound of a unit at each place in the recording, the first `limit` of them."""
    return [
        clip_of(found.recording, u.start, u.end, f"here, {u.start:.2f} s", context)
        for u in occurrences(found, codes)[:limit]
    ]


def clip_of(recording: Recording, start: float, end: float, where: str, context: float) -> Clip:
    """Return a stretch of a recording (s) with so much before and after it (s)."""
    first = max(0.0, start - context)
    part = recording.part(first, end + context)
    return Clip(
        replace(part, name=f"{recording.name}-{start:.2f}s"), start - first, end - first, where
    )


def export(found: Found, folder: Path) -> list[Path]:
    """Write the units as NAME.jsonl, NAME.km and NAME.csv into a folder; returns their paths.

    JSONL and .km are written by the formats of `audiovq export-units`, deduplicated; JSONL also
    holds durations (frames) and times (s), and of several codebooks a stream each. A line of .km
    holds one stream: the first codebook's runs. CSV: a row per unit of the table.

    Raises:
        ConfigError: a file cannot hold the recording's name.
    """
    name = _file_name(found.recording.name)
    paths = []
    for form, rows in (("jsonl", found.codebooks), ("fairseq", found.codebooks[:1])):
        paths.append(_written(found, form, rows, folder, name))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(found.header())
    writer.writerows(found.rows())
    path = folder / f"{name}.csv"
    atomic_write(path, table.getvalue())
    return [*paths, path]


def _written(found: Found, form: str, rows: tuple[int, ...], folder: Path, name: str) -> Path:
    """Write one format's file as `audiovq export-units` does, and leave its companions out."""
    rate = found.recording.sample_rate
    config = TokenConfig(codebooks=rows, deduplicate=True)
    tokenizer = Tokenizer(config, found.codebook_sizes, rate, found.hop_length)
    record = UnitRecord(found.recording.name, found.codes, found.recording.x.shape[-1])
    tokens, vocabulary = tokenizer.encode(record), tokenizer.vocabulary
    about = formats.About(
        file_format=form,
        tokens=config,
        durations=True,
        times=form == "jsonl",
        streams=tokenizer.streams,
        vocabulary_size=vocabulary.size,
        pad=vocabulary.pad,
        bos=vocabulary.bos,
        eos=vocabulary.eos,
        sample_rate=rate,
        hop_length=found.hop_length,
        frame_rate=rate / found.hop_length,
        codebook_sizes=found.codebook_sizes,
        model_hash=found.model_hash,
        manifest_hash="",
        software={},
    )
    row = formats.Row(
        id=found.recording.name,
        tokens=tokens.ids,
        durations=tokens.durations,
        starts=tokens.starts if form == "jsonl" else None,
        ends=tokens.ends if form == "jsonl" else None,
        num_samples=record.num_samples,
    )
    suffix = {"jsonl": ".jsonl", "fairseq": ".km"}[form]
    with tempfile.TemporaryDirectory(dir=folder) as made:
        with format_named(form).writer(Path(made), "units", about) as add:
            add(row)
        return (Path(made) / f"units{suffix}").replace(folder / f"{name}{suffix}")


def _file_name(name: str) -> str:
    """Return a recording's name as a file's: letters, digits, and a few marks."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._")[:100] or "units"


def _rows(model: Autoencoder, codebooks: Sequence[int] | None) -> tuple[int, ...]:
    if not model.is_discrete:
        raise ConfigError(
            f"a {model.config.bottleneck.name} model is continuous and has no units: choose a "
            f"discrete one"
        )
    rows = (0,) if codebooks is None else tuple(codebooks)
    if not rows or len(set(rows)) < len(rows) or not set(rows) <= set(range(model.num_codebooks)):
        raise ConfigError(
            f"codebooks {list(rows)} asked for; this model has {model.num_codebooks}, numbered "
            f"from 0, and each is named once"
        )
    return rows
