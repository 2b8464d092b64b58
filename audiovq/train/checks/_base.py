"""What a check returns, a finding, and what those of a run read, its history."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Any

# Healthy vq_ema runs here used 16 to 25 % of their codes from step 60 to 200, and 97 % from
# step 250 on (an hour of LibriSpeech, 512 codes; synthetic speech, 256 codes).
YOUNG_STEPS = 250
# A window or two say little; more than this and a late collapse would drown in better days.
MOST_WINDOWS = 10


class Severity(StrEnum):
    """How bad a finding is, from nothing at all to what ruins the run."""

    ok = "ok"
    warning = "warning"
    problem = "problem"

    @property
    def rank(self) -> int:
        """0 for ok, 2 for a problem."""
        return list(Severity).index(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing seen: in a log, in a machine, or in a config and its data.

    Attributes:
        severity: how bad it is.
        title: what it is, in plain words.
        figure: the number behind it.
        steps: first and last step the figure is about; None where it is about no run.
        advice: what to try; empty where there is nothing to do.
    """

    severity: Severity
    title: str
    figure: str
    steps: tuple[int, int] | None = None
    advice: str = ""


def judge(
    severity: Severity,
    steps: tuple[int, int] | None,
    figure: str,
    *,
    good: str,
    bad: str,
    advice: str,
) -> Finding:
    """Return the finding titled `bad`, with advice; titled `good` and without if all is well."""
    fine = severity is Severity.ok
    return Finding(
        severity=severity,
        title=good if fine else bad,
        figure=figure,
        steps=steps,
        advice="" if fine else advice,
    )


def worst(*severities: Severity) -> Severity:
    """Return the worst of several grades."""
    return max(severities, key=lambda s: s.rank)


@dataclass(frozen=True, slots=True)
class Series:
    """A figure of the log over time; `steps` and `values` are equally long, steps ascend."""

    steps: tuple[int, ...]
    values: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def head(self) -> "Series":
        """The first quarter, of 10 windows at most."""
        return Series(self.steps[: self._some], self.values[: self._some])

    @property
    def tail(self) -> "Series":
        """The last quarter, of 10 windows at most: how the run stands now."""
        return Series(self.steps[-self._some :], self.values[-self._some :])

    @property
    def median(self) -> float:
        """The median, which one odd window does not move; NaN of nothing."""
        return median(self.values) if self.values else math.nan

    @property
    def span(self) -> tuple[int, int]:
        """First and last step."""
        return self.steps[0], self.steps[-1]

    @property
    def smooth(self) -> "Series":
        """Medians of 5 values each, or of all if there are fewer, at the step of the last."""
        n = min(5, len(self))
        ends = range(n, len(self) + 1) if n else ()
        return Series(
            self.steps[max(0, n - 1) :], tuple(median(self.values[e - n : e]) for e in ends)
        )

    @property
    def leap(self) -> float:
        """The largest rise from one value to the next, as a factor; 0 if there is none."""
        pairs = zip(self.values, self.values[1:], strict=False)
        return max((b / max(a, 1e-12) for a, b in pairs), default=0.0)

    def until(self, step: int) -> "Series":
        """Return what was up to a step."""
        some = sum(s <= step for s in self.steps)
        return Series(self.steps[:some], self.values[:some])

    def since(self, step: int) -> "Series":
        """Return what was after a step."""
        some = sum(s <= step for s in self.steps)
        return Series(self.steps[some:], self.values[some:])

    @property
    def widths(self) -> tuple[int, ...]:
        """Training steps behind each value."""
        return tuple(b - a for a, b in zip((0, *self.steps), self.steps, strict=False))

    @property
    def increments(self) -> "Series":
        """What each value adds to the one before it, of a count that only grows."""
        pairs = zip((0.0, *self.values), self.values, strict=False)
        return Series(self.steps, tuple(max(0.0, b - a) for a, b in pairs))

    @property
    def _some(self) -> int:
        return min(MOST_WINDOWS, max(1, math.ceil(len(self) / 4)))


class History:
    """A run as its folder tells it.

    Args:
        entries: lines of the log, oldest first.
        config: the resolved config, as nested mappings.
    """

    def __init__(self, entries: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> None:
        self.entries, self.config = entries, config
        self.step = max((int(e["step"]) for e in entries), default=0)

    @property
    def counted(self) -> bool:
        """Whether this is a prior fitted in one pass; none else is scored before a first step."""
        return any(e["step"] == 0 and "validation/bits_per_code" in e for e in self.entries)

    @property
    def young(self) -> bool:
        """Whether the run is too short for what takes time: warm-up, first revivals."""
        needed = max(YOUNG_STEPS, 2 * self.number("optim.warmup_steps", 0.0))
        return not self.counted and self.step < needed

    def series(self, key: str) -> Series:
        """Return a figure over time, without what is no finite number."""
        found = [(int(e["step"]), e[key]) for e in self.entries if _is_finite(e.get(key))]
        return Series(tuple(s for s, _ in found), tuple(float(v) for _, v in found))

    def figure(self, name: str) -> Series:
        """Return a figure over the training windows, or over validations where only they know."""
        return self.series(f"train/{name}") or self.series(f"validation/{name}")

    def rows(self, name: str) -> list[str]:
        """Return the figure's names: its own, and one per codebook where there are several."""
        keys = {k.partition("/")[2] for e in self.entries for k in e if k.startswith("train/")}
        return sorted(k for k in keys if k == name or k.startswith(f"{name}/"))

    def setting(self, path: str) -> Any:
        """Return what the config says at a dotted path, None where it says nothing."""
        value: Any = self.config
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def number(self, path: str, default: float) -> float:
        """Return a setting that is a number."""
        value = self.setting(path)
        return float(value) if _is_finite(value) else default

    def lenient(self, severity: Severity) -> Severity:
        """Return the severity, one less in a young run, where it may still pass by itself."""
        return list(Severity)[max(0, severity.rank - 1)] if self.young else severity


Check = Callable[[History], Finding | None]


def above(value: float, warning: float, problem: float) -> Severity:
    """Grade a figure that is bad when large."""
    if value > problem:
        return Severity.problem
    return Severity.warning if value > warning else Severity.ok


def below(value: float, warning: float, problem: float) -> Severity:
    """Grade a figure that is bad when small."""
    return above(-value, -warning, -problem)


def _is_finite(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)
