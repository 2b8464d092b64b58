"""Tables for a card, from the JSON that `evaluate`, `evaluate-units` and `score` write.

No figure of a card is typed: each is read from such a file, which names the model it is of.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audiovq.errors import CheckpointError
from audiovq.eval import unit_values, values
from audiovq.eval.prior_rates import LABELS

MAX_BYTES = 1 << 28
_LEFT_OUT = {"peak_memory"}  # of the process and not the model
_MACHINE = {"encode_rtf", "decode_rtf"}

Cells = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One figure for programs, as the hub's `model-index` has them."""

    type: str
    name: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Table:
    """What one evaluation found.

    Attributes:
        title: what was measured on what.
        of: fingerprint of the model, or of the prior.
        command: that makes it again.
        header: names of the columns.
        rows: cells.
        notes: what a reader must know, a sentence each.
        split: of the corpus.
        metrics: the figures of the model itself.
    """

    title: str
    of: str
    command: str
    header: Cells
    rows: Sequence[Cells]
    notes: Sequence[str]
    split: str
    metrics: Sequence[Metric]


def read(path: Path, name: str) -> Table:
    """Return the table of an evaluation.

    Args:
        path: JSON that `audiovq evaluate -o`, `evaluate-units --json` or `score --json` wrote.
        name: of the model, for the command.

    Raises:
        CheckpointError: it is something else, or damaged.
    """
    refusal = CheckpointError(
        f"{path} is no evaluation: JSON of `audiovq evaluate -o FILE`, `audiovq evaluate-units "
        f"--json` or `audiovq score --json` is accepted"
    )
    try:
        if path.stat().st_size > MAX_BYTES:
            raise refusal
        found = json.loads(path.read_text("utf-8"))
        return _READERS[found["format"]](found, name)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise refusal from None


def _reconstruction(found: Mapping[str, Any], name: str) -> Table:
    return _systems([found], name)


def _comparison(found: Mapping[str, Any], name: str) -> Table:
    first = found["systems"][found["compared_to"]]
    others = [r for r in found["systems"].values() if r is not first]
    return _systems([first, *others], name)


def _systems(reports: Sequence[Mapping[str, Any]], name: str) -> Table:
    """Return the figures of one model, or of several systems side by side."""
    first = reports[0]
    data, model = first["data"], first["model"]
    whole = max(reports, key=lambda r: r["model"].get("codebooks", math.inf))
    whole = next((r for r in reports if "codebooks" not in r["model"]), whole)
    keys = [
        k for k in values.METRICS if k not in _LEFT_OUT and any(k in r["values"] for r in reports)
    ]
    several = len(reports) > 1
    header = ("", *(_label(r, name) for r in reports), "unit") if several else (
        "", "value", "95 % interval", "unit"
    )  # fmt: skip
    rows = []
    for key in keys:
        about = values.METRICS[key]
        cells = [_cells(r["values"].get(key), about.digits) for r in reports]
        shown = [" ".join(c for c in cell if c) for cell in cells] if several else cells[0]
        rows.append((about.label, *shown, about.unit))
    words = ["audiovq", "evaluate", name, "MANIFEST", "--split", str(data["split"] or "all")]
    if data["utterances"] < data["of"]:
        words += ["--max-utterances", str(data["utterances"])]
    prefixes = [r["model"]["codebooks"] for r in reports if "codebooks" in r["model"]]
    words += ["--codebooks", ",".join(map(str, prefixes))] if prefixes else []
    metrics = [
        Metric(type=k, name=values.METRICS[k].label, value=whole["values"][k]["value"])
        for k in keys
        if k in whole["values"] and k not in _MACHINE
    ]
    return Table(
        title=f"Reconstruction: {_data(data)}",
        of=model["fingerprint"],
        command=" ".join(words),
        header=header,
        rows=rows,
        notes=[*first["notes"], _speed(first), _corpus(data), _measured(first)],
        split=str(data["split"] or "all"),
        metrics=metrics,
    )


def _units(found: Mapping[str, Any], name: str) -> Table:
    data = found["data"]
    rows: list[Cells] = []
    metrics: list[Metric] = []
    for key, value in found["values"].items():
        about = unit_values.METRICS[key.partition("/")[0]]
        rows.append((_named(key, about.label), *_cells(value, about.digits), about.unit))
        metrics.append(Metric(type=key, name=_named(key, about.label), value=value["value"]))
    split = str(data["split"])
    return Table(
        title=f"Units: {_data(data)}",
        of=found["units"]["fingerprint"],
        command=f"audiovq extract {name} MANIFEST -o units && "
        f"audiovq evaluate-units units MANIFEST --split {split}",
        header=("", "value", "95 % interval", "unit"),
        rows=rows,
        notes=[*(n for n in found["notes"] if not n.startswith("ABX")), _measured(found)],
        split=split,
        metrics=metrics,
    )


def _score(found: Mapping[str, Any], name: str) -> Table:
    data = found["data"]
    rows = []
    for key, rate in found["rates"].items():
        per_code, per_second = rate["bits_per_code"], rate["bits_per_second"]
        cells = (_joined(per_code, 3), _joined(per_second, 1), f"{rate['perplexity']:,.1f}")
        rows.append((LABELS[key], *cells))
    prior = found["rates"]["prior"]
    metrics = [
        Metric(type="bits_per_code", name="bits per code", value=prior["bits_per_code"]["value"]),
        Metric(
            type="bits_per_second", name="bits per second", value=prior["bits_per_second"]["value"]
        ),
    ]
    return Table(
        title=f"Held-out codes: {data['utterances']} utterances of {data['speakers']} speakers, "
        f"split `{data['split']}`, {data['seconds'] / 3600:.2f} h",
        of=found["prior"]["fingerprint"],
        command=f"audiovq score {name} units --split {data['split']}",
        header=("codes as", "bits per code", "bits per second", "perplexity"),
        rows=rows,
        notes=[f"in brackets: 95 % intervals, {prior['bits_per_code']['interval']}"],
        split=str(data["split"]),
        metrics=metrics,
    )


_READERS = {
    "audiovq.evaluation": _reconstruction,
    "audiovq.comparison": _comparison,
    "audiovq.unit_evaluation": _units,
    "audiovq.prior_score": _score,
}


def _label(report: Mapping[str, Any], name: str) -> str:
    if "codebooks" in report["model"]:
        return f"{report['model']['codebooks']} codebooks"
    return str(report.get("label") or name)


def _named(key: str, label: str) -> str:
    """Return a label, with the variant that a key says."""
    _, _, variant = key.partition("/")
    return f"{label}, {variant.replace('/', ', ')}" if variant else label


def _cells(value: Mapping[str, Any] | None, digits: int) -> Cells:
    """Return value and interval as text."""
    if value is None:
        return "", ""
    shown = f"{value['value']:,.{digits}f}"
    if value["low"] is None or value["high"] is None:
        return shown, ""
    return shown, f"[{value['low']:,.{digits}f}, {value['high']:,.{digits}f}]"


def _joined(value: Mapping[str, Any], digits: int) -> str:
    return " ".join(c for c in _cells(value, digits) if c)


def _data(data: Mapping[str, Any]) -> str:
    of = f" of {data['of']}" if data.get("of", data["utterances"]) != data["utterances"] else ""
    speakers = f" of {data['speakers']} speakers" if data["speakers"] else ""
    where = Path(str(data["manifest"])).name
    return (
        f"{data['utterances']}{of} utterances{speakers}, split `{data['split'] or 'all'}` of "
        f"`{where}`, {data['hours']:.2f} h"
    )


def _corpus(data: Mapping[str, Any]) -> str:
    return f"fingerprint of the manifest: {str(data['manifest_fingerprint'])[:12]}"


def _speed(report: Mapping[str, Any]) -> str:
    m = report["machine"]
    where = m["cpu"] if m["device"] == "cpu" else m["device"]
    return f"real-time factors: {where}, {m['threads']} thread(s), torch {m['torch']}"


def _measured(report: Mapping[str, Any]) -> str:
    return f"measured {str(report['date'])[:10]}, on the weights as they are stored"
