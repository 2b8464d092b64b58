"""Alignments made elsewhere, attached to a manifest: TIMIT `.phn`, Praat TextGrid, CTM, RTTM.

`attach` gives every record the rows of one tier. Times are kept exact (decimal) until they are
rounded to samples of the record, so that rows that touch in the file touch in the record.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path, PurePosixPath

from audiovq.data._textgrid import parse_textgrid
from audiovq.data.manifest import Manifest, Record
from audiovq.errors import ManifestError

SUFFIXES = (".phn", ".textgrid", ".ctm", ".rttm")
_SPILL = Decimal("0.1")  # s by which a row may end past the audio: aligners round up to frames
_ROUNDING = Decimal("0.02")  # s by which rows may overlap: two times rounded to 10 ms
_FAR = Decimal(10) ** 9  # s; a time beyond this is no time


@dataclass(frozen=True)
class Row:
    """One labelled stretch.

    Attributes:
        start: in seconds, or in samples where `samples` is true.
        end: not included.
        label: as in the file.
        place: file and line, for messages.
        samples: whether times are samples at the record's own rate (`.phn`).
    """

    start: Decimal
    end: Decimal
    label: str
    place: str
    samples: bool = False


Rows = Sequence[Row]
_Parse = Callable[[str, Sequence[str]], tuple[str, Row | None]]  # of a place and its words


def attach(manifest: Manifest, path: str | Path, tier: str = "phones") -> Manifest:
    """Return the manifest with a tier of alignments from a file or a folder of files.

    A record's alignment is looked for under its id, under its path without suffix, and under the
    stem of its path if that stem is one record's only; names in CTM and RTTM files are looked up
    the same way. Records without one lose that tier, so that nothing old is mixed in. Within a
    TextGrid the tier of that name is read (also `speaker - phones`, as MFA writes).

    Args:
        manifest: the corpus.
        path: a file (`.phn`, `.TextGrid`, `.ctm`, `.rttm`), or a folder searched recursively.
        tier: name of the tier to fill.

    Raises:
        ManifestError: names file and line of the first fault; nothing fits any record.
    """
    path = Path(path)
    found = _read_all(path, tier)
    stems = Counter(PurePosixPath(r.path).stem for r in manifest.records)
    records = []
    for record in manifest.records:
        stem = PurePosixPath(record.path).stem
        names = [record.id, str(PurePosixPath(record.path).with_suffix(""))]
        names += [stem] if stems[stem] == 1 else []
        rows = next((found[n] for n in names if n in found), None)
        kept = {k: v for k, v in (record.alignment or {}).items() if k != tier}
        if rows is not None:
            kept[tier] = _in_samples(rows, record)
        records.append(record.model_copy(update={"alignment": kept or None}))
    if not any(tier in (r.alignment or {}) for r in records):
        if not found:
            raise ManifestError(f"{path}: no phones in it")
        some = ", ".join(map(repr, list(found)[:3]))
        raise ManifestError(
            f"{path}: none of its {len(found)} alignments ({some} ...) has the id or file name of "
            f"a record of {manifest.path}"
        )
    return Manifest(manifest.path, manifest.root, manifest.header, records)


def read(path: Path, tier: str = "phones") -> dict[str, Rows]:
    """Return the rows of each utterance in one file, by the name it has there.

    Raises:
        ManifestError: names file and line of the first fault.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ManifestError(
            f"{path} is no alignment: .phn, .TextGrid, .ctm and .rttm files are read"
        )
    text = _text(path)
    if suffix == ".phn":
        return {path.stem: _phn(path, text)}
    if suffix == ".textgrid":
        rows = [
            Row(_time(a, at), _time(b, at), label, at)
            for a, b, label, at in parse_textgrid(path, text, tier)
        ]
        return {path.stem: [_ordered(r) for r in rows]}
    return _listed(path, text, _ctm_line if suffix == ".ctm" else _rttm_line)


def _read_all(path: Path, tier: str) -> dict[str, Rows]:
    """Return the rows found under every name that a record could know them by."""
    if not path.exists():
        raise ManifestError(f"no alignments at {path}: give a file, or a folder of files")
    if path.is_file():
        return read(path, tier)
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not files:
        raise ManifestError(f"no .phn, .TextGrid, .ctm or .rttm file below {path}")
    found: dict[str, Rows] = {}
    stems = Counter(p.stem for p in files)
    for file in files:
        for name, rows in read(file, tier).items():
            own = name == file.stem  # one utterance per file, or a list of many
            below = str(PurePosixPath(*file.relative_to(path).with_suffix("").parts))
            names = {below} | ({name} if stems[name] == 1 else set()) if own else {name}
            for each in names:
                if each in found:
                    raise ManifestError(f"{file}: {each!r} has an alignment in another file too")
                found[each] = rows
    return found


def _text(path: Path) -> str:
    """Return a file's text: UTF-8, or UTF-16 with its byte order mark, as Praat writes it."""
    try:
        data = path.read_bytes()
        utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except OSError as error:
        raise ManifestError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path} is neither UTF-8 nor UTF-16 text ({error.reason})") from None


def _lines(path: Path, text: str) -> Iterator[tuple[str, str]]:
    """Yield place and text of each line that is not empty."""
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        if line.strip():
            yield f"{path}, line {number}", line.strip()


def _phn(path: Path, text: str) -> Rows:
    rows = []
    for place, line in _lines(path, text):
        parts = line.split(maxsplit=2)
        if len(parts) < 2 or not all(p.isascii() and p.isdigit() for p in parts[:2]):
            raise ManifestError(f"{place}: {line[:60]!r} is not `start end label` in samples")
        label = parts[2].strip() if len(parts) == 3 else ""
        rows.append(_ordered(Row(Decimal(parts[0]), Decimal(parts[1]), label, place, samples=True)))
    return rows


def _listed(path: Path, text: str, parse: _Parse) -> dict[str, Rows]:
    """Return the rows of a file that lists many utterances."""
    found: dict[str, list[Row]] = {}
    for place, line in _lines(path, text):
        if line.startswith(";;"):  # a comment, in both formats
            continue
        name, row = parse(place, line.split())
        if row is not None:
            found.setdefault(name, []).append(row)
    return {name: sorted(rows, key=lambda r: (r.start, r.end)) for name, rows in found.items()}


def _ctm_line(place: str, parts: Sequence[str]) -> tuple[str, Row | None]:
    """Source: NIST sctk, ctm: `file channel start duration label [confidence ...]`."""
    if len(parts) < 5:
        raise ManifestError(f"{place}: a CTM line is `file channel start duration label`")
    start = _time(parts[2], place)
    return parts[0], _ordered(Row(start, start + _time(parts[3], place), parts[4], place))


def _rttm_line(place: str, parts: Sequence[str]) -> tuple[str, Row | None]:
    """Source: NIST RT-09: `type file channel start duration orthography subtype name ...`.

    The label is the orthography, or the name where there is none; lines without times (`SPKR-INFO`)
    and those that say who speaks (`SPEAKER`) are passed over.
    """
    if len(parts) < 8:
        raise ManifestError(
            f"{place}: an RTTM line is `type file channel start duration orthography subtype name`"
        )
    if parts[3] == "<NA>" or parts[0] == "SPEAKER":
        return parts[1], None
    start = _time(parts[3], place)
    length = Decimal(0) if parts[4] == "<NA>" else _time(parts[4], place)
    label = parts[5] if parts[5] != "<NA>" else parts[7]
    return parts[1], _ordered(Row(start, start + length, label, place))


def _time(text: str, place: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or not 0 <= value < _FAR:
        raise ManifestError(f"{place}: {text[:40]!r} is not a time in seconds, 0 or more")
    return value


def _ordered(row: Row) -> Row:
    if row.end < row.start:
        raise ManifestError(f"{row.place}: the row ends ({row.end}) before it starts ({row.start})")
    return row


def _in_samples(rows: Rows, record: Record) -> tuple[tuple[int, int, str], ...]:
    """Return rows at the record's rate; those of no length are left out."""
    result: list[tuple[int, int, str]] = []
    for row in sorted(rows, key=lambda r: (r.start, r.end)):
        rate = 1 if row.samples else record.sample_rate
        start, end = (int((t * rate).to_integral_value()) for t in (row.start, row.end))
        if end > record.num_samples + _SPILL * record.sample_rate:
            raise ManifestError(
                f"{row.place}: the row ends at {end / record.sample_rate:.3f} s, but record "
                f"{record.id!r} has {record.duration:.3f} s: is this the alignment of another "
                f"recording?"
            )
        start, end = min(start, record.num_samples), min(end, record.num_samples)
        if end > start:
            _cut_before(result, start, row, record)
            result.append((start, end, row.label))
    return tuple(result)


def _cut_before(result: list[tuple[int, int, str]], start: int, row: Row, record: Record) -> None:
    """End the row before where this one starts: writers round start and length one by one."""
    if not result or result[-1][1] <= start:
        return
    first, end, label = result[-1]
    if end - start > _ROUNDING * record.sample_rate or start <= first:
        raise ManifestError(
            f"{row.place}: {row.label!r} starts at {start / record.sample_rate:.3f} s, before "
            f"{label!r} ends ({end / record.sample_rate:.3f} s): one phone at a time, please"
        )
    result[-1] = first, start, label
