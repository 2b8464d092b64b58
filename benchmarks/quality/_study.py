"""Several runs of one recipe on equal terms: each trained, each measured at each rate; a table."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(p) for p in (ROOT, HERE.parent) if str(p) not in sys.path]

from _common import finish, interleaved  # noqa: E402
from adversarial import LEARNS, PLAIN, make, noise  # noqa: E402

import audiovq  # noqa: E402
from audiovq import config as configs  # noqa: E402
from audiovq import registry, share  # noqa: E402
from audiovq.autoencoder import Autoencoder  # noqa: E402
from audiovq.data.manifest import Manifest  # noqa: E402
from audiovq.eval import listening  # noqa: E402
from audiovq.eval.comparison import Comparison, Difference, rate_text  # noqa: E402
from audiovq.eval.evaluate import evaluate_systems  # noqa: E402
from audiovq.eval.result import Report  # noqa: E402
from audiovq.eval.systems import ModelSystem  # noqa: E402
from audiovq.eval.values import METRICS  # noqa: E402
from audiovq.files import atomic_write  # noqa: E402
from audiovq.train.checkpoint import Store  # noqa: E402
from audiovq.train.trackers.lines import read_log  # noqa: E402

RECIPE = "train_adversarial"
FIGURES = tuple(
    n
    for n in ("log_mel_distance", "stoi", "estoi", "pesq_nb", "pesq_wb", "si_sdr")
    if n in METRICS
)  # fmt: skip
EXAMPLES = 4  # utterances to listen to
NOTE = (
    "\n95 % intervals over test speakers; * where the paired difference from the first model's "
    "excludes 0. Weights are those of encoder and decoder; tables with projections. Seconds per "
    "step were taken in turns; training is wall clock, whatever else ran.\n"
)


@dataclass(frozen=True)
class Entry:
    """One run.

    Attributes:
        name: of its folder, and for `--only`.
        label: for the table.
        config: a file of `configs/`.
        settings: `key=value` laid over it.
    """

    name: str
    label: str
    config: str
    settings: tuple[str, ...] = ()

    def resolved(self, *more: str) -> Any:
        """Return the config as the recipe gets it."""
        values = configs.read_yaml(HERE / "configs" / f"{self.config}.yaml")
        with registry.plugins(None):
            return configs.parse(
                share.load_recipe(RECIPE).Config,
                configs.override(values, (*self.settings, *more)),
                self.name,
            )


# ------------------------------------------------------------------------------ training


def train(entry: Entry, manifest: str, folder: Path, steps: int) -> None:
    """Train a run, or go on with it, as a user would; leaves the program if it stops early."""
    run = folder / entry.name
    done = Store(run / "checkpoints").steps()
    if done and done[-1] >= steps and (run / "model" / "config.json").is_file():
        return
    command = [
        *(sys.executable, "-m", "audiovq", "train", str(HERE / "configs" / f"{entry.config}.yaml")),
        f"data.manifest={json.dumps(manifest)}",
        f"run.dir={json.dumps(str(run.resolve()))}",
        *(f"train.max_steps={steps}", f"optim.decay_steps={steps}"),
        *entry.settings,
    ]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    process = subprocess.Popen(command, env=env)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    while True:
        try:
            code = process.wait()
            break
        except KeyboardInterrupt:  # which the run has got, too: it saves, and ends
            continue
    if code:
        sys.exit(code)


def seconds_per_step(entries: Sequence[Entry], rounds: int) -> dict[str, dict[str, float]]:
    """Time a step of every run, taking turns, without and with discriminators, on noise."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    recipe, functions = share.load_recipe(RECIPE), {}
    for entry in entries:
        config = entry.resolved()
        size = round(config.data.segment_seconds * config.model.sample_rate)
        batch = noise(config.data.batch_size, size)
        step, _ = make(recipe, config)
        for name, phase in (("plain", PLAIN), ("adversarial", LEARNS)):
            functions[f"{entry.name}/{name}"] = lambda s=step, p=phase, b=batch: s(p, b)
    times = interleaved(functions, rounds)
    return {e.name: {k: times[f"{e.name}/{k}"] for k in ("plain", "adversarial")} for e in entries}


def minutes(run: Path) -> float:
    """Return the wall clock of a run's steps, as its log has it (min); validation included."""
    seconds, before = 0.0, 0
    for line in read_log(run / "log.jsonl"):
        if isinstance(each := line.get("train/seconds_per_step"), float):
            seconds += each * (line["step"] - before)
            before = line["step"]
    return seconds / 60


# ---------------------------------------------------------------------------- evaluation


def measure(
    entries: Sequence[Entry],
    folder: Path,
    manifest: Manifest,
    codebooks: Sequence[int],
    most: int | None,
) -> Comparison:
    """Evaluate every run at each of its first codebooks on the same test utterances."""
    systems = [ModelSystem(load(folder / e.name), e.label, k) for e in entries for k in codebooks]
    workers = os.cpu_count() or 1
    return evaluate_systems(
        systems, manifest, max_utterances=most, examples=EXAMPLES, workers=workers
    )


def load(run: Path) -> Autoencoder:
    """Load a run's model with the plug-ins that its own config names: we wrote it."""
    config = json.loads((run / "model" / "config.json").read_text())["model"]
    used = {config[part]["name"] for part in ("encoder", "bottleneck", "decoder")}
    return audiovq.load(run, plugins=[name for name in used if "." in name])


def sizes(model: Autoencoder) -> dict[str, int]:
    """Return the weights of encoder and decoder; and of code tables, projections included."""
    weights = sum(p.numel() for half in (model.encoder, model.decoder) for p in half.parameters())
    learned = sum(p.numel() for p in model.bottleneck.parameters())  # running sums are none
    tables = learned or sum(model.codebook_sizes) * model.bottleneck.in_channels
    return {"weights": weights, "code_tables": tables}


# --------------------------------------------------------------------------------- table


def tabulate(
    title: str,
    entries: Sequence[Entry],
    folder: Path,
    manifest: Manifest,
    *,
    codebooks: Sequence[int],
    most: int | None,
    seconds: Mapping[str, Mapping[str, float]],
    about: Mapping[str, Any],
) -> None:
    """Measure the runs that are trained; print, and write `table.{md,json}` and `listen.html`."""
    trained = [e for e in entries if (folder / e.name / "model" / "config.json").is_file()]
    found = measure(trained, folder, manifest, codebooks, most)
    listening.write(folder / "listen.html", found)
    whole = len(load(folder / trained[0].name).codebook_sizes)
    facts = {
        e.name: {
            **sizes(load(folder / e.name)),
            "seconds_per_step": seconds.get(e.name, {}),
            "training_minutes": minutes(folder / e.name),
        }
        for e in trained
    }
    shown = [n for n in FIGURES if all(n in r for r in found.reports)]
    rows, systems = [], []
    for k in codebooks:
        alike = Comparison([found[f"{e.label}, {k} of {whole}"] for e in trained])
        differences = {(d.label, d.name): d for d in alike.differences()}
        for e, report in zip(trained, alike.reports, strict=True):
            own = {n: differences.get((report.label, n)) for n in shown}
            cells = [_cell(report, n, own[n]) for n in shown]
            rows.append([rate_text(report), e.label, *cells, *_facts(facts[e.name])])
            values = {n: asdict(report.value(n)) for n in shown}
            less = {n: asdict(d) for n, d in own.items() if d is not None}
            system = {"name": e.name, "label": e.label, "codebooks": k, "bitrate": report.rate}
            systems.append({**system, **facts[e.name], "values": values, "less_the_first": less})
    header = [
        "bit/s", "model", *(METRICS[n].label for n in shown), "weights", "code tables",
        "s per step", "with discriminators", "training (min)",
    ]  # fmt: skip
    lines = [header, ["---"] * 2 + ["---:"] * (len(header) - 2), *rows]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
    atomic_write(folder / "table.md", text + NOTE)
    result = {**about, "data": found.reports[0].data, "systems": systems}
    atomic_write(folder / "table.json", json.dumps(result, allow_nan=False, indent=1) + "\n")
    finish(f"quality/{title}", result, [header, *rows])


def _facts(facts: Mapping[str, Any]) -> list[str]:
    took = facts["seconds_per_step"]
    return [
        f"{facts['weights'] / 1e6:.3f} M",
        f"{facts['code_tables'] / 1e6:.2f} M",
        *(f"{took[p]:.2f}" if p in took else "" for p in ("plain", "adversarial")),
        f"{facts['training_minutes']:.1f}",
    ]


def _cell(report: Report, name: str, difference: Difference | None) -> str:
    value = report.value(name)
    mark = "*" if difference is not None and difference.clear else ""
    return f"{value.text()}{mark} {value.interval_text()}".rstrip()
