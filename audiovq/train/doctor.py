"""Is a training run healthy? Read its log and say so, in words and figures."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from audiovq.config import read_yaml
from audiovq.errors import ConfigError
from audiovq.train.checks import codebook, latent, learning, prior, rivals, sound
from audiovq.train.checks._base import Finding, History, Severity
from audiovq.train.checkup import judged, paragraph
from audiovq.train.trackers.lines import read_log

CHECKS = (
    *learning.CHECKS,
    *codebook.CHECKS,
    *latent.CHECKS,
    *rivals.CHECKS,
    *sound.CHECKS,
    *prior.CHECKS,
)
# Figures worth showing, and whether a high one is good.
FACTS = {
    "loss": False,
    "mel": False,
    "bits_per_code": False,
    "average/bits_per_code": False,
    "bits_per_second": False,
    "bottleneck": False,
    "adversarial": False,
    "feature": False,
    "discriminator": False,
    "gradient_norm": False,
    "usage": True,
    "perplexity": True,
    "dead_codes": False,
    "revived_codes": False,
    "drift": False,
    "relative_error": False,
    "kl": True,
    "active_units": True,
    "multiplier": False,
    "level_db": True,
    "clipped": False,
    "noisy/si_sdr_in": True,
    "noisy/si_sdr_out": True,
    "seconds_per_step": False,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """What the doctor says.

    Attributes:
        run: the run's folder.
        step: last step in the log; 0 if it has no line.
        max_steps: where training is to end; None if the config does not say, or there are no steps.
        counted: it is a prior that was fitted in one pass, without steps.
        findings: worst first.
        facts: by figure, value and step of the first, the worst and the last.
    """

    run: str
    step: int
    max_steps: int | None
    counted: bool
    findings: list[Finding]
    facts: dict[str, dict[str, tuple[float, int]]]

    @property
    def verdict(self) -> str:
        """All of it in one line."""
        when = f"by step {self.step}" + (f" of {self.max_steps}" if self.max_steps else "")
        if self.counted:
            when = "after its one pass over the codes"
        if not self.findings:
            return f"too early to say: nothing to judge in the log {when}"
        bad = [f for f in self.findings if f.severity is not Severity.ok]
        if not bad:
            return f"healthy {when}: {len(self.findings)} things looked at, nothing wrong"
        ill = bad[0].severity is Severity.problem
        more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
        return f"{'not healthy' if ill else 'worth a look'} {when}: {bad[0].title}{more}"

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return {"verdict": self.verdict, **asdict(self)}

    def to_json(self) -> str:
        """Return all of it as JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    def text(self) -> str:
        """Return the verdict, the findings, and the facts as a table."""
        parts = [self.verdict, *map(paragraph, self.findings)]
        return "\n\n".join([*parts, _table(self.facts)] if self.facts else parts)


def examine(run: Path) -> Diagnosis:
    """Read a run folder, going on, ended or killed, and diagnose it.

    Raises:
        ConfigError: it is no run folder, or its config cannot be read.
    """
    path = run / "config.yaml"
    if not path.is_file():
        raise ConfigError(f"{run} is no run folder: it has no config.yaml; give a run.dir")
    entries, config = read_log(run / "log.jsonl"), read_yaml(path)
    history = History(entries, config)
    steps = history.number("train.max_steps", 0.0)
    return Diagnosis(
        run=str(run),
        step=history.step,
        max_steps=None if history.counted else int(steps) or None,
        counted=history.counted,
        findings=diagnose(entries, config),
        facts=facts(history),
    )


def diagnose(entries: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> list[Finding]:
    """Return what a log shows, worst first.

    Args:
        entries: lines of the log, oldest first; any key may be missing.
        config: the resolved config, as nested mappings; any key may be missing.
    """
    return judged(CHECKS, History(entries, config))


def facts(history: History) -> dict[str, dict[str, tuple[float, int]]]:
    """Return value and step of the first, the worst and the last of every figure there is."""
    found = {}
    for name, high_is_good in FACTS.items():
        for part in ("train", "validation"):
            series = history.series(f"{part}/{name}")
            if not series:
                continue
            pairs = list(zip(series.values, series.steps, strict=True))
            pick = min if high_is_good else max
            found[f"{part}/{name}"] = {
                "first": pairs[0],
                "worst": pick(pairs, key=lambda p: p[0]),
                "last": pairs[-1],
            }
    return found


def _table(facts: Mapping[str, Mapping[str, tuple[float, int]]]) -> str:
    columns = ("first", "worst", "last")
    lines = [f"{'figure (value @ step)':<28}" + "".join(f"{c:>20}" for c in columns)]
    for name, fact in facts.items():
        cells = (f"{fact[c][0]:.4g} @ {fact[c][1]}" for c in columns)
        lines.append(f"{name:<28}" + "".join(f"{cell:>20}" for cell in cells))
    return "\n".join(lines)
