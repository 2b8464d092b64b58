"""The outcome of a comparison in rows: one per model, and one per model and seed."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean, mean
from typing import Any

from audiovq.compare.plan import Run
from audiovq.eval.values import METRICS
from audiovq.files import atomic_write
from audiovq.train.trackers.lines import read_log

FIGURES = tuple(METRICS)  # of the files; pages and Markdown show some
SHOWN = (
    "bitrate", "unigram_bitrate", "kl_bitrate", "log_mel_distance", "stoi", "pesq_wb", "si_sdr",
    "usage", "perplexity", "encode_rtf",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One model's figures.

    Attributes:
        label: of the model.
        family: the config's own name.
        bottleneck: its registry name.
        seeds: the runs behind the row.
        facts: parameters, frames per second, codebook size (geometric mean over codebooks; of
            discrete models), minutes of training.
        values: figures by name; a mean where there are several seeds.
        low: lower ends: of the 95 % interval of one run, or the lowest of several.
        high: upper ends.
    """

    label: str
    family: str
    bottleneck: str
    seeds: tuple[int, ...]
    facts: Mapping[str, float]
    values: Mapping[str, float]
    low: Mapping[str, float]
    high: Mapping[str, float]


def rows_of(plan: Sequence[Run], evaluations: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return a row per run, in the plan's order."""
    rows = []
    for run, found in zip(plan, evaluations, strict=True):
        values = {_today(k, found): v for k, v in found["values"].items()}
        values = {k: v for k, v in values.items() if k in FIGURES}
        bounded = {k: v for k, v in values.items() if v["low"] is not None}
        facts = {
            "parameters": float(found["model"]["num_parameters"]),
            "frame_rate": float(found["model"]["frame_rate"]),
        }
        if found["model"]["codebook_sizes"]:
            facts["codebook_size"] = geometric_mean(found["model"]["codebook_sizes"])
        minutes = _minutes(run.folder / "log.jsonl")
        rows.append(
            Row(
                label=run.entry.label,
                family=run.entry.family,
                bottleneck=str(found["model"]["bottleneck"]),
                seeds=(run.seed,),
                facts=facts if minutes is None else {**facts, "train_minutes": minutes},
                values={k: float(v["value"]) for k, v in values.items()},
                low={k: float(v["low"]) for k, v in bounded.items()},
                high={k: float(v["high"]) for k, v in bounded.items()},
            )
        )
    return rows


def _today(name: str, found: Mapping[str, Any]) -> str:
    """Return a figure's name: evaluations of version 1 called the PESQ they had `pesq`."""
    if name != "pesq":
        return name
    return "pesq_wb" if found["model"]["sample_rate"] >= 16000 else "pesq_nb"


def by_model(rows: Sequence[Row]) -> list[Row]:
    """Return a row per model: means over seeds, with the lowest and highest."""
    joined = []
    for label in dict.fromkeys(r.label for r in rows):
        same = [r for r in rows if r.label == label]
        if len(same) == 1:
            joined += same
            continue
        names = [k for k in FIGURES if all(k in r.values for r in same)]
        joined.append(
            Row(
                label=label,
                family=same[0].family,
                bottleneck=same[0].bottleneck,
                seeds=tuple(s for r in same for s in r.seeds),
                facts={k: mean(r.facts[k] for r in same if k in r.facts) for k in same[0].facts},
                values={k: mean(r.values[k] for r in same) for k in names},
                low={k: min(r.values[k] for r in same) for k in names},
                high={k: max(r.values[k] for r in same) for k in names},
            )
        )
    return joined


def write(folder: Path, rows: Sequence[Row], terms: Mapping[str, Any]) -> None:
    """Write table.json (all runs and models), table.csv and table.md (models).

    In the CSV a figure with an interval is followed by `_low` and `_high`.
    """
    models = by_model(rows)
    plain = {**terms, "models": [vars(r) for r in models], "runs": [vars(r) for r in rows]}
    atomic_write(folder / "table.json", json.dumps(plain, indent=1, allow_nan=False) + "\n")
    header, cells = text_table(models)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    names = [k for k in FIGURES if any(k in r.values for r in models)]
    facts = list(dict.fromkeys(k for r in models for k in r.facts))
    bounded = {k for r in models for k in r.low}
    columns = [
        (k, part) for k in names for part in ("", "_low", "_high")[: 3 if k in bounded else 1]
    ]
    writer.writerow(["model", "bottleneck", "seeds", *facts, *(k + part for k, part in columns)])
    for r in models:
        seeds = " ".join(map(str, r.seeds))
        parts = {"": r.values, "_low": r.low, "_high": r.high}
        figures = [parts[part].get(k, "") for k, part in columns]
        writer.writerow(
            [r.label, r.bottleneck, seeds, *(r.facts.get(k, "") for k in facts), *figures]
        )
    atomic_write(folder / "table.csv", buffer.getvalue())
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *cells]
    atomic_write(
        folder / "table.md", "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
    )


def text_table(models: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the figures as people read them."""
    names = _shown(models)
    units = {k: f" ({METRICS[k].unit})" if METRICS[k].unit else "" for k in names}
    header = ["model", "parameters"] + [METRICS[k].label + units[k] for k in names]
    timed = any("train_minutes" in r.facts for r in models)
    header += ["training (min)"] if timed else []
    rows = []
    for r in models:
        cells = [r.label, f"{r.facts['parameters'] / 1e6:.2f} M"]
        cells += [_cell(r, k) for k in names]
        cells += [f"{r.facts['train_minutes']:.1f}" if "train_minutes" in r.facts else ""] * timed
        rows.append(cells)
    return header, rows


def _shown(models: Sequence[Row]) -> list[str]:
    return [k for k in SHOWN if any(k in r.values for r in models)]


def best(models: Sequence[Row]) -> set[tuple[int, int]]:
    """Return row and column, in `text_table`, of the best value of each figure with a direction."""
    found = set()
    for column, name in enumerate(_shown(models), 2):
        have = [(r.values[name], i) for i, r in enumerate(models) if name in r.values]
        if METRICS[name].better and len(have) > 1:
            found.add(((max if METRICS[name].better == "higher" else min)(have)[1], column))
    return found


def _cell(row: Row, name: str) -> str:
    if name not in row.values:
        return ""
    digits = METRICS[name].digits
    text = f"{row.values[name]:,.{digits}f}"
    if name in ("log_mel_distance", "stoi") and name in row.low:
        text += f" [{row.low[name]:,.{digits}f}, {row.high[name]:,.{digits}f}]"
    return text


def _minutes(path: Path) -> float | None:
    """Return the wall clock of a run in minutes, as its log has it; None if it does not."""
    seconds, before, known = 0.0, 0, False
    for entry in read_log(path):
        each = entry.get("train/seconds_per_step")
        if isinstance(each, int | float):
            seconds += float(each) * (entry["step"] - before)
            before, known = entry["step"], True
    return seconds / 60 if known else None
