"""The outcome of `evaluate-units`: units beside others, for people a table, for machines JSON."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from audiovq.eval.unit_values import METRICS, Figure
from audiovq.files import atomic_write

FORMAT, VERSION = "audiovq.unit_evaluation", 1


@dataclass(frozen=True, kw_only=True)
class UnitReport:
    """What one source of units is worth on one corpus.

    Attributes:
        label: of the source, unique among those beside it.
        units: fingerprint, rates and sizes.
        data: manifest, split, utterances, speakers, hours, phones.
        figures: in the order of `METRICS`.
        left_out: by part, why it was not measured.
        notes: what a reader of the figures must know.
        codes: of each code that occurs on a phone: its number, labelled frames, and the share of
            each phone among them, commonest first.
    """

    label: str
    units: Mapping[str, Any]
    data: Mapping[str, Any]
    figures: Sequence[Figure]
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    codes: Sequence[Mapping[str, Any]] = ()

    def __getitem__(self, key: str) -> float:
        """Return the value of a figure, e.g. `report["pnmi"]`."""
        return self.figure(key).value

    def __contains__(self, key: str) -> bool:
        return any(f.key == key for f in self.figures)

    def figure(self, key: str) -> Figure:
        """Return a figure with its interval.

        Raises:
            KeyError: the report does not have it.
        """
        for figure in self.figures:
            if figure.key == key:
                return figure
        raise KeyError(f"no {key!r} in this report; it has: {[f.key for f in self.figures]}")

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, each figure with its definition and unit."""
        values = {}
        for f in self.figures:
            about = {"unit": f.metric.unit, "better": f.better}
            values[f.key] = {
                **{k: v for k, v in asdict(f).items() if k not in ("name", "detail")},
                **about,
                "definition": f.metric.definition,
            }
        return {
            "label": self.label,
            "units": dict(self.units),
            "data": dict(self.data),
            "values": values,
            "left_out": dict(self.left_out),
            "notes": list(self.notes),
            "codes": [dict(c) for c in self.codes],
        }


@dataclass(frozen=True, kw_only=True)
class Result:
    """Reports side by side, the units asked about first.

    Attributes:
        reports: at least one.
        machine: what it ran on.
        date: UTC, ISO 8601.
    """

    reports: Sequence[UnitReport]
    machine: Mapping[str, Any]
    date: str

    @property
    def units(self) -> UnitReport:
        """The report on the units asked about."""
        return self.reports[0]

    def to_dict(self) -> dict[str, Any]:
        """Return the first report's content, with the others under `beside`."""
        about = {"format": FORMAT, "version": VERSION, "date": self.date, "machine": self.machine}
        first, *others = [r.to_dict() for r in self.reports]
        return {**about, **first, "beside": others}

    def to_json(self) -> str:
        """Return `to_dict()` as JSON text; no NaN or infinity is in it."""
        return json.dumps(self.to_dict(), allow_nan=False, ensure_ascii=False, indent=1)

    def keys(self) -> list[str]:
        """Return the keys of all figures, in the order of `METRICS` and of their first report."""
        order = {name: i for i, name in enumerate(METRICS)}
        found = {f.key: order[f.name] for r in self.reports for f in r.figures}
        return sorted(found, key=found.__getitem__)

    def rows(self, joint: str = " ") -> list[list[str]]:
        """Return the label of each figure, and its cell in each report.

        Args:
            joint: between a value and its interval.
        """
        rows = []
        for key in self.keys():
            figures = [r.figure(key) if key in r else None for r in self.reports]
            some = next(f for f in figures if f is not None)
            label = some.label + (f" ({some.metric.unit})" if some.metric.unit else "")
            rows.append([label, *(_cell(f, joint) for f in figures)])
        return rows

    def header(self) -> list[str]:
        """Return the header of `rows()`."""
        return ["", *(r.label for r in self.reports)]

    def best(self) -> set[tuple[int, int]]:
        """Return row and column, in `rows()`, of the best of each figure that has a direction."""
        found = set()
        for row, key in enumerate(self.keys()):
            figures = {i: r.figure(key) for i, r in enumerate(self.reports, 1) if key in r}
            better = next(iter(figures.values())).better
            if better and len({f.value for f in figures.values()}) > 1:
                pick = max if better == "higher" else min
                found.add((row, pick(figures, key=lambda i: figures[i].value)))
        return found

    def about(self) -> list[str]:
        """Return in sentences what was evaluated, what was left out and what to know."""
        said: dict[str, list[str]] = {}  # what is the same of several is said once
        for r in self.reports:
            parts: dict[str, list[str]] = {}
            for part, why in r.left_out.items():
                parts.setdefault(why, []).append(part)
            left = [f"{', '.join(names)} left out: {why}" for why, names in parts.items()]
            for line in (_title(r), *_intervals(r), *r.notes, *left):
                said.setdefault(line, []).append(r.label)
        every = len(self.reports)
        return [
            line if len(labels) == every else f"{', '.join(labels)}: {line}"
            for line, labels in said.items()
        ]

    def table(self) -> str:
        """Return the figures as aligned text, with what to know about them below."""
        lines = [self.header(), *self.rows()]
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        text = [
            "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        text.insert(1, "-" * max(map(len, text)))
        marks = "[95 % interval]  (smallest, largest over speakers, splits or draws)"
        return "\n".join([*text, "", marks, "", *(f"- {line}" for line in self.about())])

    def markdown(self) -> str:
        """Return the same as a Markdown table."""
        header, rows = self.header(), self.rows()
        lines = [header, ["---"] * len(header), *rows]
        table = "\n".join("| " + " | ".join(_escaped(c) for c in line) + " |" for line in lines)
        return table + "\n\n" + "\n".join(f"- {line}" for line in self.about()) + "\n"

    def to_csv(self) -> str:
        """Return a line for every figure of every report."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        columns = ("value", "low", "high", "lowest", "highest", "count", "over", "interval")
        writer.writerow(["units", "figure", "unit", *columns])
        for report in self.reports:
            for f in report.figures:
                row = [getattr(f, c) for c in columns]
                writer.writerow([report.label, f.key, f.metric.unit, *row])
        return buffer.getvalue()

    def write(self, folder: Path) -> None:
        """Write table.md, table.csv and table.json."""
        atomic_write(folder / "table.md", self.markdown())
        atomic_write(folder / "table.csv", self.to_csv())
        atomic_write(folder / "table.json", self.to_json() + "\n")


def _intervals(report: UnitReport) -> list[str]:
    """Say over what intervals are, where they are not over speakers."""
    hows = list(dict.fromkeys(f.interval for f in report.figures if f.interval))
    others = [how for how in hows if "speakers" not in how]
    return [f"intervals: {'; '.join(others)}: other speakers may lie outside"] if others else []


def _cell(figure: Figure | None, joint: str) -> str:
    if figure is None:
        return ""
    parts = (figure.text(), figure.interval_text(), figure.range_text())
    return joint.join(p for p in parts if p)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


def _title(report: UnitReport) -> str:
    u, d = report.units, report.data
    row = f", row {u['codebook']} (from 0) of {len(u['codebook_sizes'])}" * (
        len(u["codebook_sizes"]) > 1
    )
    speakers = f"{d['speakers']} speaker{'s' * (d['speakers'] > 1)}, " if d["speakers"] else ""
    return (
        f"{u['codebook_sizes'][u['codebook']]:,} codes at {u['frame_rate']:g} Hz{row}, on "
        f"{d['split']} of {d['manifest']}: {d['utterances']} utterances ({d['aligned']} aligned), "
        f"{speakers}{d['hours']:.2f} h"
    )
