"""Is all well before training begins? Look at the machine, or at a config and its data."""

import json
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from audiovq.data import manifest as manifests
from audiovq.errors import ConfigError
from audiovq.train.checks import data as data_checks
from audiovq.train.checks import machine as machine_checks
from audiovq.train.checks import room as room_checks
from audiovq.train.checks import settings as settings_checks
from audiovq.train.checks._base import Finding, Severity
from audiovq.train.facts import machine as machine_facts
from audiovq.train.facts import plan as plan_facts

Facts = TypeVar("Facts")

PLAN_CHECKS = (*data_checks.CHECKS, *settings_checks.CHECKS, *room_checks.CHECKS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkup:
    """What the doctor says of something that does not run yet.

    Attributes:
        subject: what was looked at.
        findings: worst first.
        facts: what they were judged from, for a report of a fault.
    """

    subject: str
    findings: list[Finding]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """All of it in one line."""
        bad = [f for f in self.findings if f.severity is not Severity.ok]
        if not bad:
            return f"{self.subject}: {len(self.findings)} things looked at, nothing wrong"
        how = "not ready" if bad[0].severity is Severity.problem else "worth a look"
        more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
        return f"{self.subject}: {how}: {bad[0].title}{more}"

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return {"verdict": self.verdict, **asdict(self)}

    def to_json(self) -> str:
        """Return all of it as JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    def text(self) -> str:
        """Return the verdict and the findings."""
        return "\n\n".join([self.verdict, *map(paragraph, self.findings)])


def machine(folder: Path) -> Checkup:
    """Look at this machine, and at how fast a folder is written; takes some seconds.

    Raises:
        ConfigError: there is no such folder.
    """
    facts = machine_facts.look(folder)
    found = judged(machine_checks.CHECKS, facts)
    return Checkup(subject="this machine", findings=found, facts=asdict(facts))


def plan(config: Any, name: str) -> Checkup:
    """Look at a config of the recipe `train_autoencoder`, its corpus and where it is to run.

    Args:
        config: the resolved config; `data.manifest` is set.
        name: what to call it.

    Raises:
        ConfigError: `data.manifest` is not set.
        ManifestError: the manifest cannot be read.
    """
    path = config.data.manifest
    if not path:
        raise ConfigError(
            f"data.manifest is missing: audiovq doctor {name} data.manifest=speech.jsonl checks "
            f"the config against a corpus (made by `audiovq prepare`)"
        )
    facts = plan_facts.look(config, manifests.read(path))
    found = judged(PLAN_CHECKS, facts)
    return Checkup(subject=f"{name} with {path}", findings=found, facts=facts.summary())


def judged(checks: Iterable[Callable[[Facts], Finding | None]], facts: Facts) -> list[Finding]:
    """Return what the checks find in the facts, worst first."""
    found = [finding for check in checks if (finding := check(facts))]
    return sorted(found, key=lambda f: -f.severity.rank)


def paragraph(finding: Finding) -> str:
    """Return a finding as text: severity and title, the figure, what to try."""
    when = ""
    if finding.steps is not None:
        a, b = finding.steps
        when = f" (step {a})" if a == b else f" (steps {a} to {b})"
    lines = [f"{finding.severity.value:<8} {finding.title}"]
    indent = " " * 9
    for text in (f"{finding.figure}{when}", finding.advice and f"try: {finding.advice}"):
        lines += textwrap.wrap(  # never at the hyphens of a path, which would not be copied whole
            text, 100, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        )
    return "\n".join(lines)
