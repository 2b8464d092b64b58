"""Train several models on equal terms, evaluate them on held-out speakers, and report.

    audiovq compare speech.jsonl autoencoder/ae autoencoder/vq_ema -o runs/compare --steps 1500

The same command goes on where it stopped; models and seeds may be added later.
"""

import json
import shlex
from pathlib import Path
from typing import Literal

from pydantic import Field

from audiovq import config as configs
from audiovq import report
from audiovq.alone import alone
from audiovq.compare import page, plan, table, work
from audiovq.data import manifest as manifests
from audiovq.errors import ConfigError


class Config(configs.Config):
    """What is compared, and how long it is trained."""

    recipe: Literal["compare"] = Field("compare", description="this file")
    manifest: str = Field("", description="path of the manifest (made by `audiovq prepare`)")
    models: tuple[str, ...] = Field((), description="[label@]config[+key=value...] of each model")
    dir: str = Field("runs/compare", description="folder of the comparison")
    steps: int = Field(1500, ge=1, description="optimizer steps of every run")
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="runs of each model")
    settings: tuple[str, ...] = Field((), description="key=value for all models")
    split: Literal["train", "validation", "test", "all"] = Field(
        "test", description="what is evaluated"
    )
    max_utterances: int | None = Field(None, ge=1, description="utterances evaluated; null: all")
    jobs: int = Field(1, ge=1, le=64, description="runs at once; they share the cores")


def main(config: Config) -> None:
    """Run the comparison, or what is left of it."""
    if not config.manifest or not config.models:
        raise ConfigError("a comparison needs a manifest and at least one config")
    data = manifests.read(config.manifest, check_files=True)
    folder = Path(config.dir)
    common = (
        f"train.max_steps={config.steps}",
        f"optim.decay_steps={config.steps}",
        f"train.validate_every={max(1, config.steps // 5)}",
        "data.workers=0",
        "log.progress=false",
        *config.settings,
        f"data.manifest={json.dumps(str(data.path))}",
    )
    plan.refuse_own(config.settings)
    found = plan.entries(config.models)
    runs = plan.runs_of(found, tuple(dict.fromkeys(config.seeds)), folder, common, data)
    plan.refuse_unequal_terms(runs)
    plan.open_study(folder, runs, runs[0].config.train.max_steps, config.split, data)

    with alone(folder, "comparing in") as lock:
        work.train(runs, config.jobs, lock)
        evaluations = work.evaluate(
            runs, data, split=config.split, most=config.max_utterances, jobs=config.jobs, lock=lock
        )
        rows = table.rows_of(runs, evaluations)
        facts = page.facts_of(runs, evaluations, data, command(config), config.jobs)
        table.write(folder, rows, facts)
        if report.can_draw():
            page.write(folder, runs, rows, facts=facts, data=data, split=config.split)


def command(config: Config) -> str:
    """Return the command that makes this comparison."""
    parts = ["audiovq", "compare", config.manifest, *config.models, "-o", config.dir]
    options = {"--steps": [config.steps], "--seed": config.seeds, "--set": config.settings}
    options["--split"] = [config.split] if config.split != "test" else []
    options["--max-utterances"] = [config.max_utterances] if config.max_utterances else []
    parts += [str(w) for option, values in options.items() for v in values for w in (option, v)]
    return shlex.join(parts)
