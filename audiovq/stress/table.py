"""Means over recordings, with intervals, and differences from the undamaged; Markdown and JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audiovq.eval.estimate import Estimate, how, mean_over_speakers
from audiovq.files import atomic_write
from audiovq.stress.conditions import ALL, CHANCE, CLEAN
from audiovq.stress.run import Found


@dataclass(frozen=True)
class Figure:
    """What a figure is.

    Attributes:
        label: for tables, with its unit.
        digits: decimals worth printing.
        definition: one sentence.
        scale: what a table multiplies it by.
        interval: whether a table shows it.
    """

    label: str
    digits: int
    definition: str
    scale: float = 1.0
    interval: bool = False


FIGURES: dict[str, Figure] = {
    "kept_first": Figure(
        "codes kept, first codebook (%)",
        1,
        "share of the first codebook's codes that equal those of the undamaged recording",
        100.0,
        interval=True,
    ),
    "kept": Figure("codes kept, all (%)", 1, "the same over all codebooks", 100.0, interval=True),
    "unit_edit": Figure(
        "unit edit distance",
        3,
        "edit distance of the deduplicated codes to those of the undamaged recording over the "
        "number of those, mean over codebooks; may exceed 1",
        interval=True,
    ),
    "log_mel_distance": Figure(
        "log-mel distance (dB)", 2, "of the reconstruction to the undamaged original"
    ),
    "log_mel_distance_less_clean": Figure(
        "less clean",
        2,
        "the same less that of the undamaged recording's reconstruction, paired",
        interval=True,
    ),
    "stoi": Figure("STOI", 3, "of the reconstruction against the undamaged original"),
    "stoi_less_clean": Figure(
        "less clean",
        3,
        "the same less that of the undamaged recording's reconstruction, paired",
        interval=True,
    ),
    "log_mel_distance_to_clean": Figure(
        "log-mel distance to clean reconstruction (dB)",
        2,
        "of the reconstruction to that of the undamaged recording",
    ),
    "stoi_to_clean": Figure(
        "STOI to clean reconstruction",
        3,
        "of the reconstruction against that of the undamaged recording",
    ),
    "stoi_heard": Figure(
        "STOI of the input",
        3,
        "of the damaged recording that the model hears, against the original",
    ),
    "lost": Figure(
        "frames lost (%)", 1, "share of frames lost or refused in these recordings", 100.0
    ),
}

PAIRED = ("log_mel_distance", "stoi")


@dataclass(frozen=True)
class Line:
    """A condition's figures.

    Attributes:
        name: of the condition.
        label: in words.
        figures: means by name, in the order of `FIGURES`.
        recordings: how many are behind them.
        reasons: why some recordings have none, and how many.
    """

    name: str
    label: str
    figures: Mapping[str, Estimate]
    recordings: int
    reasons: Mapping[str, int]


def lines_of(found: Found) -> list[Line]:
    """Return a line per condition; the first is `clean`, the second, of codes, `chance`."""
    names = [CLEAN, *([CHANCE] if CHANCE in found.rows[0] else [])]
    return [_line(found, name) for name in [*names, *(c.name for c in found.conditions)]]


def _line(found: Found, name: str) -> Line:
    labels = {CLEAN: "undamaged", CHANCE: "its own codes, half its length later"}
    label = labels.get(name) or ALL[name].label
    rows = [row[name] for row in found.rows]
    values: list[dict[str, float]] = []
    reasons: dict[str, int] = {}
    for row, all_rows in zip(rows, found.rows, strict=True):
        if "reason" in row:
            reasons[str(row["reason"])] = reasons.get(str(row["reason"]), 0) + 1
        values.append({} if "reason" in row else _with_differences(name, row, all_rows[CLEAN]))
    figures = {}
    for figure in FIGURES:
        have = [(v[figure], r["speaker"]) for v, r in zip(values, found.recordings, strict=True)
                if figure in v]  # fmt: skip
        if have:
            numbers, speakers = zip(*have, strict=True)
            figures[figure] = mean_over_speakers(np.array(numbers), speakers)
    return Line(name, label, figures, sum(map(bool, values)), reasons)


def _with_differences(
    name: str, row: Mapping[str, Any], clean: Mapping[str, Any]
) -> dict[str, float]:
    both = [k for k in PAIRED if k in row and k in clean and name != CLEAN]
    return {**row, **{f"{k}_less_clean": row[k] - clean[k] for k in both}}


def columns(lines: Sequence[Line]) -> list[str]:
    """Return the figures that a table has; `kept` only where it is not `kept_first` again."""
    have = [f for f in FIGURES if any(f in line.figures for line in lines)]
    one = all(line.figures.get("kept") == line.figures.get("kept_first") for line in lines)
    return [f for f in have if not (one and f == "kept")]


def markdown(lines: Sequence[Line]) -> str:
    """Return the lines as a Markdown table, intervals where they matter."""
    names = columns(lines)
    one = "kept" not in names
    heads = [FIGURES[n].label for n in names]
    if one:
        heads = [h.replace(", first codebook", "") for h in heads]
    cells = [["condition", "", *heads], ["---", "---", *["---:"] * len(heads)]]
    cells += [[f"`{x.name}`", x.label, *(_cell(x.figures.get(n), n) for n in names)] for x in lines]
    estimates = [e for x in lines for e in x.figures.values()]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells) + f"\n\n{how(estimates)}\n"


def _cell(estimate: Estimate | None, name: str) -> str:
    if estimate is None:
        return "\u2013"
    figure = FIGURES[name]
    shown = estimate.scaled(figure.scale)
    if not figure.interval or estimate.low == estimate.high:
        shown = Estimate(shown.value)
    return shown.text(figure.digits, "+" if name.endswith("_less_clean") else "")


def notes_of(found: Found, lines: Sequence[Line]) -> list[str]:
    """Return what a reader must know, conditions that recordings did not allow included."""
    by_reason: dict[str, list[str]] = {}
    for line in lines:
        for reason, number in line.reasons.items():
            by_reason.setdefault(reason, []).append(f"{line.name} ({number})")
    return [
        *found.notes,
        *(f"left out, recordings in brackets: {', '.join(w)}: {r}" for r, w in by_reason.items()),
    ]


def write(folder: Path, found: Found, lines: Sequence[Line]) -> None:
    """Write table.md and table.json."""
    notes = notes_of(found, lines)
    text = markdown(lines) + "".join(f"\n- {note}\n" for note in notes)
    atomic_write(folder / "table.md", text)
    plain = {
        **found.about,
        "notes": notes,
        "definitions": {n: f.definition for n, f in FIGURES.items()},
        "conditions": {
            line.name: {
                "label": line.label,
                "recordings": line.recordings,
                "reasons": dict(line.reasons),
                "figures": {n: asdict(e) for n, e in line.figures.items()},
            }
            for line in lines
        },
    }
    atomic_write(folder / "table.json", json.dumps(plain, indent=1, allow_nan=False) + "\n")
