"""The outcome of an evaluation: for people a table, for machines JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from audiovq.eval.values import METRICS, Value

FORMAT, VERSION = "audiovq.evaluation", 2  # 1: pesq_wb (pesq_nb under 16 kHz) was `pesq`


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one model did on one split of one corpus.

    Attributes:
        model: fingerprint, bottleneck, rates and sizes.
        data: manifest, split, utterances, speakers, hours.
        machine: what it ran on.
        date: UTC, ISO 8601.
        values: the figures, in the order of `METRICS`.
        undefined: by measure, how many utterances have no value for which reason.
        notes: what a reader of the figures must know.
        utterances: one row each: id, speaker, seconds, measures, times (s).
        counts: how often each code occurred, per row of the codes; empty for continuous models.
        rejected: ids and reasons of utterances that could not be read.
        protocol: resampler, rates, alignment, and versions of what measured.
        label: what the system is called.
    """

    model: Mapping[str, Any]
    data: Mapping[str, Any]
    machine: Mapping[str, Any]
    date: str
    values: Sequence[Value]
    undefined: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    utterances: Sequence[Mapping[str, Any]] = ()
    counts: Sequence[Sequence[int]] = ()
    rejected: Sequence[Mapping[str, str]] = ()
    protocol: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""

    def __getitem__(self, name: str) -> float:
        """Return the value of a figure, e.g. `report["perplexity"]`."""
        return self.value(name).value

    def __contains__(self, name: str) -> bool:
        return any(v.name == name for v in self.values)

    def value(self, name: str) -> Value:
        """Return a figure with its interval.

        Raises:
            KeyError: the report does not have it.
        """
        for value in self.values:
            if value.name == name:
                return value
        raise KeyError(f"no {name!r} in this report; it has: {[v.name for v in self.values]}")

    @property
    def is_anchor(self) -> bool:
        """Whether it is of an anchor, which nothing competes with."""
        return bool(self.model["bottleneck"] == "anchor")

    @property
    def rate(self) -> float | None:
        """Bits per second: the nominal rate, a VAE's KL rate, or what an anchor spent; or None."""
        for name in ("bitrate", "kl_bitrate", "payload_bitrate"):
            if name in self:
                return self[name]
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, each figure with its definition and unit."""
        plain = asdict(self)
        plain["values"] = {
            v.name: {
                "value": v.value,
                "low": v.low,
                "high": v.high,
                "interval": v.interval,
                "count": v.count,
                "unit": METRICS[v.name].unit,
                "better": METRICS[v.name].better,
                "definition": METRICS[v.name].definition,
            }
            for v in self.values
        }
        return {"format": FORMAT, "version": VERSION, **plain}

    def to_json(self) -> str:
        """Return `to_dict()` as JSON text; no NaN or infinity is in it."""
        return json.dumps(self.to_dict(), allow_nan=False, ensure_ascii=False, indent=1)

    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """Return label, value, unit, interval and count of each figure, as text."""
        return [
            (v.metric.label, v.text(), v.metric.unit, v.interval_text(), _count(v))
            for v in self.values
        ]

    def table(self) -> str:
        """Return the figures as aligned text, with what to know about them below."""
        header = ("", "value", "unit", "95 % interval", "over")
        lines = [header, *self.rows()]
        text = aligned(lines, (True, False, True, False, True))
        return "\n".join([self.title(), "", *text, "", *(f"- {note}" for note in self.notes)])

    def title(self) -> str:
        """Return in one line what was evaluated on what."""
        d = self.data
        speakers = f"{d['speakers']} speakers, " if d["speakers"] else ""
        what = self.model["fingerprint"][:12]
        if "codebooks" in self.model:
            what += f", first {self.model['codebooks']} codebooks"
        return (
            f"{self.model['bottleneck']} ({what}) on {d['split']}: "
            f"{d['utterances']} utterances, {speakers}{d['hours']:.2f} h"
        )


def _count(value: Value) -> str:
    if not value.count:
        return ""
    return f"{value.count:,} {'frames' if value.metric.per_frame else 'utterances'}"


def aligned(lines: Sequence[Sequence[str]], left: Sequence[bool]) -> list[str]:
    """Return rows of cells as lines of text, with a rule below the first.

    Args:
        lines: header and rows.
        left: which columns start at the left.
    """
    widths = [max(len(line[i]) for line in lines) for i in range(len(left))]
    text = [
        "  ".join(
            cell.ljust(w) if to_left else cell.rjust(w)
            for cell, w, to_left in zip(line, widths, left, strict=True)
        ).rstrip()
        for line in lines
    ]
    return [text[0], "-" * max(map(len, text)), *text[1:]]
