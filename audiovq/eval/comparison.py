"""Several systems on the same utterances: figures side by side, and paired differences."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from audiovq.eval import summary
from audiovq.eval.intervals import bootstrap_mean, group
from audiovq.eval.result import VERSION, Report, aligned
from audiovq.eval.values import METRICS

FORMAT = "audiovq.comparison"
Sounds = Mapping[str, Mapping[str, Float[Tensor, "1 1 _"]]]  # by utterance and system

# What a table for people has columns for; JSON and the page have everything.
SHOWN = (
    "log_mel_distance", "si_sdr", "stoi", "estoi", "pesq_wb", "pesq_nb", "f0_median_error",
    "voicing_error", "speaker_similarity", "wer", "wer_to_original",
)  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """A system's figure less the first system's, over the utterances that have both.

    Attributes:
        name: key in `METRICS`.
        label: of the system.
        low: lower end of the 95 % interval; None if there is none.
        high: upper end.
        count: utterances.
    """

    name: str
    label: str
    value: float
    low: float | None
    high: float | None
    count: int

    @property
    def clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high

    @property
    def verdict(self) -> str:
        """`better` or `worse` than the first system where the interval excludes 0; else ""."""
        better = METRICS[self.name].better
        if not better or not self.clear:
            return ""
        return "better" if (self.value > 0) == (better == "higher") else "worse"

    def text(self) -> str:
        """Return the difference as a table shows it, without its unit."""
        return f"{self.value:+,.{METRICS[self.name].digits}f}"

    def interval_text(self) -> str:
        """Return the interval as a table shows it; "" if there is none."""
        if self.low is None or self.high is None:
            return ""
        digits = METRICS[self.name].digits
        return f"[{self.low:+,.{digits}f}, {self.high:+,.{digits}f}]"


@dataclass(frozen=True)
class Comparison:
    """What several systems did with the same utterances.

    Attributes:
        reports: one per system, the first being what others are compared to.
        sounds: originals and reconstructions of a few utterances.
    """

    reports: Sequence[Report]
    sounds: Sounds = field(default_factory=dict)

    def __getitem__(self, label: str) -> Report:
        """Return the report of a system.

        Raises:
            KeyError: there is none of that label.
        """
        for report in self.reports:
            if report.label == label:
                return report
        raise KeyError(f"no system {label!r}; there are {[r.label for r in self.reports]}")

    def differences(self) -> list[Difference]:
        """Return every system's paired differences from the first.

        Intervals are bootstrapped over speakers (over utterances where fewer than five are
        known), as those of means are.
        """
        first, *others = self.reports
        names = [n for n in METRICS if n in summary.SCORES]
        found = [_difference(name, first, other) for other in others for name in names]
        return [d for d in found if d is not None]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        differences = [asdict(d) | {"verdict": d.verdict} for d in self.differences()]
        return {
            "format": FORMAT,
            "version": VERSION,
            "systems": {r.label: {"rate": r.rate, **r.to_dict()} for r in self.reports},
            "compared_to": self.reports[0].label,
            "differences": differences,
        }

    def to_json(self) -> str:
        """Return `to_dict()` as JSON text; of one system, its report alone."""
        if len(self.reports) == 1:
            return self.reports[0].to_json()
        return json.dumps(self.to_dict(), allow_nan=False, ensure_ascii=False, indent=1)

    def header(self) -> list[str]:
        """Return the column names of `rows`."""
        return ["system", "bit/s", *(_heading(n) for n in self._shown())]

    def rows(self) -> list[list[str]]:
        """Return a row per system: rate, then each figure, its interval after a line break."""
        return [
            [r.label, rate_text(r), *(_cell(r, n) for n in self._shown())] for r in self.reports
        ]

    def best(self) -> set[tuple[int, int]]:
        """Return row and column, in `rows`, of the best value of each figure with a direction.

        Anchors do not compete, nor do figures of under half of the utterances.
        """
        found = set()
        for column, name in enumerate(self._shown(), 2):
            have = [(r[name], i) for i, r in enumerate(self.reports) if _competes(r, name)]
            if METRICS[name].better and len(have) > 1:
                pick = max if METRICS[name].better == "higher" else min
                found.add((pick(have)[1], column))
        return found

    def difference_rows(self, *, marks: bool = False) -> tuple[list[str], list[list[str]]]:
        """Return header and rows of the differences that the table shows.

        Args:
            marks: a mark where the interval excludes 0, instead of the interval after a line break.
        """
        first = self.reports[0].label
        table = {(d.label, d.name): d for d in self.differences()}
        rows = [
            [
                r.label,
                *(_difference_cell(table.get((r.label, n)), marks=marks) for n in self._shown()),
            ]
            for r in self.reports[1:]
        ]
        return [f"less {first}", *(_heading(n) for n in self._shown())], rows

    def table(self) -> str:
        """Return the figures as aligned text; of one system, its report's own table."""
        if len(self.reports) == 1:
            return self.reports[0].table()
        rows = [[cell.split("\n")[0] for cell in row] for row in self.rows()]
        lines = aligned([self.header(), *rows], [True] + [False] * (len(self.header()) - 1))
        header, differences = self.difference_rows(marks=True)
        paired = aligned([header, *differences], [True] + [False] * (len(header) - 1))
        data = self.reports[0].data
        return "\n".join(
            [
                f"{len(self.reports)} systems on {data['split']}: {data['utterances']} utterances",
                "",
                *lines,
                "",
                "Paired differences; * where the 95 % interval (see JSON and page) excludes 0:",
                "",
                *paired,
                "",
                *(f"- {note}" for note in self.notes()),
            ]
        )

    def notes(self) -> list[str]:
        """Return what a reader must know: what all systems share once, the rest by system."""
        by_note: dict[str, list[str]] = {}
        for r in self.reports:
            for note in r.notes:
                by_note.setdefault(note, []).append(r.label)
        return [
            note if len(labels) == len(self.reports) else f"{'; '.join(labels)}: {note}"
            for note, labels in by_note.items()
        ]

    def _shown(self) -> list[str]:
        return [n for n in SHOWN if any(n in r for r in self.reports)]


def rate_text(report: Report) -> str:
    """Return a system's rate in bit/s as a table shows it; a dash where it states none."""
    return "\u2013" if report.rate is None else f"{report.rate:,.0f}"


def _heading(name: str) -> str:
    metric = METRICS[name]
    scale = metric.unit in ("", "MOS-LQO")  # the name says it, and columns are many
    return metric.label if scale else f"{metric.label} ({metric.unit})"


def _competes(report: Report, name: str) -> bool:
    if report.is_anchor or name not in report:
        return False
    return bool(report.value(name).count * 2 >= report.data["utterances"])


def _cell(report: Report, name: str) -> str:
    """Return a figure; with the number of its utterances where it is not of all."""
    if name not in report:
        return "\u2013"
    value = report.value(name)
    some = "" if value.count == report.data["utterances"] else f" (n={value.count})"
    return "\n".join(filter(None, (value.text() + some, value.interval_text())))


def _difference_cell(difference: Difference | None, *, marks: bool) -> str:
    if difference is None:
        return "\u2013"
    if marks:
        return difference.text() + ("*" if difference.clear else " ")
    return "\n".join(filter(None, (difference.text(), difference.interval_text())))


def _difference(name: str, first: Report, other: Report) -> Difference | None:
    """Return one figure's difference; None where no utterance has both."""
    before = {row["id"]: row for row in first.utterances if row.get(name) is not None}
    pairs = [
        (before[row["id"]], row)
        for row in other.utterances
        if row.get(name) is not None and row["id"] in before
    ]
    if not pairs:
        return None
    values = np.array([b[name] - a[name] for a, b in pairs], np.float64)
    weights = np.array([summary.weight(name, a) for a, _ in pairs])
    groups = group([a["speaker"] for a, _ in pairs])
    low, high = bootstrap_mean(values, groups.index, weights) or (None, None)
    mean = float(np.average(values, weights=weights))
    return Difference(name, other.label, mean, low, high, len(pairs))
