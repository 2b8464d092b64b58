"""Several runs of one recipe on equal terms: each trained, each measured at each rate; a table."""

import copy
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(p) for p in (ROOT, HERE.parent) if str(p) not in sys.path]

from _common import finish, interleaved  # noqa: E402
from adversarial import LEARNS, PLAIN, make, noise  # noqa: E402

import audiovq  # noqa: E402
from audiovq import config as configs  # noqa: E402
from audiovq import registry, share  # noqa: E402
from audiovq.autoencoder import Autoencoder  # noqa: E402
from audiovq.bottlenecks._base import BottleneckOutput, Context, DiscreteBottleneck  # noqa: E402
from audiovq.data.manifest import Manifest  # noqa: E402
from audiovq.eval.evaluate import evaluate  # noqa: E402
from audiovq.eval.intervals import bootstrap_mean, group  # noqa: E402
from audiovq.eval.values import METRICS  # noqa: E402
from audiovq.files import atomic_write  # noqa: E402
from audiovq.train.checkpoint import Store  # noqa: E402
from audiovq.train.trackers.lines import read_log  # noqa: E402

RECIPE = "train_adversarial"
FIGURES = tuple(
    n
    for n in ("log_mel_distance", "stoi", "estoi", "pesq", "pesq_wb", "si_sdr")
    if n in METRICS
)  # fmt: skip


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


class Prefix(DiscreteBottleneck):
    """A residual bottleneck's first codebooks, at inference."""

    def __init__(self, whole: DiscreteBottleneck, codebooks: int) -> None:
        super().__init__()
        self.whole = whole
        self.in_channels, self.out_channels = whole.in_channels, whole.out_channels
        self.codebook_sizes = whole.codebook_sizes[:codebooks]

    def encode(self, z: Tensor, context: Context = Context()) -> Tensor:
        """Return the first rows of the codes."""
        return self.whole.encode(z, context)[:, : len(self.codebook_sizes)]

    def decode(self, codes: Tensor) -> Tensor:
        """Decode them."""
        return self.whole.decode(codes)

    def forward(self, z: Tensor, context: Context = Context()) -> BottleneckOutput:
        """Not to be trained."""
        raise NotImplementedError

    def initialise(self, z: Tensor, context: Context = Context()) -> None:
        """Not to be trained."""
        raise NotImplementedError


def prefix(model: Autoencoder, codebooks: int) -> Autoencoder:
    """Return a residual model that uses its first few codebooks."""
    short = copy.deepcopy(model)
    assert isinstance(short.bottleneck, DiscreteBottleneck)
    short.bottleneck = Prefix(short.bottleneck, codebooks)
    return short


def measure(run: Path, manifest: Manifest, codebooks: int, most: int | None) -> dict[str, Any]:
    """Evaluate a run at its first codebooks on test speakers, or return what is stored of it."""
    config = json.loads((run / "model" / "config.json").read_text())["model"]
    used = {config[part]["name"] for part in ("encoder", "bottleneck", "decoder")}
    model = audiovq.load(run, plugins=[name for name in used if "." in name])
    short = prefix(model, codebooks)
    total = len(manifest.select("test"))
    wanted = {
        "fingerprint": short.fingerprint(),
        "manifest": manifest.fingerprint(),
        "utterances": total if most is None else min(most, total),
    }
    place = run / f"evaluation-{codebooks}.json"
    if place.is_file() and (found := json.loads(place.read_text()))["of"] == wanted:
        return found
    report = evaluate(short, manifest, max_utterances=most)
    weights = {
        part: sum(p.numel() for p in getattr(model, part).parameters())
        for part in ("encoder", "decoder")
    }
    found = {"of": wanted, "weights": weights, "tables": _tables(model), **report.to_dict()}
    atomic_write(place, json.dumps(found, allow_nan=False, indent=1) + "\n")
    return found


def _tables(model: Autoencoder) -> int:
    """Return the scalars of the codebooks, projections included, running sums not."""
    learned = sum(p.numel() for p in model.bottleneck.parameters())
    return learned or sum(model.codebook_sizes) * model.bottleneck.in_channels


def paired(first: Mapping[str, Any], other: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """Return by how much a figure is above the first run's, with a 95 % interval over speakers."""
    before = {u["id"]: u[name] for u in first["utterances"] if u.get(name) is not None}
    both = [u for u in other["utterances"] if u["id"] in before and u.get(name) is not None]
    if not both:
        return None
    values = np.array([u[name] - before[u["id"]] for u in both], np.float64)
    interval = bootstrap_mean(values, group([u["speaker"] for u in both]).index)
    low, high = interval or (None, None)
    return {"value": float(values.mean()), "low": low, "high": high}


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
    """Measure all runs that are trained; print, and write `table.md` and `table.json`."""
    trained = [e for e in entries if (folder / e.name / "model" / "config.json").is_file()]
    found = {
        e.name: {k: measure(folder / e.name, manifest, k, most) for k in codebooks} for e in trained
    }
    measured = [f["values"] for each in found.values() for f in each.values()]
    shown = [n for n in FIGURES if all(n in values for values in measured)]
    header = [
        "bit/s", "model", *(METRICS[n].label for n in shown), "weights", "code tables",
        "s per step", "with discriminators", "training (min)",
    ]  # fmt: skip
    rows, systems = [], []
    for k in codebooks:
        for e in trained:
            f, first = found[e.name][k], found[trained[0].name][k]
            differences = {n: paired(first, f, n) for n in shown} if f is not first else {}
            took = seconds.get(e.name, {})
            facts = {
                "weights": sum(f["weights"].values()),
                "code_tables": f["tables"],
                "seconds_per_step": took,
                "training_minutes": minutes(folder / e.name),
            }
            rate = f["values"]["bitrate"]["value"]
            rows.append(
                [
                    f"{rate:,.0f}", e.label, *(_cell(f, n, differences.get(n)) for n in shown),
                    f"{facts['weights'] / 1e6:.3f} M", f"{facts['code_tables'] / 1e6:.2f} M",
                    *(f"{took[p]:.2f}" if p in took else "" for p in ("plain", "adversarial")),
                    f"{facts['training_minutes']:.1f}",
                ]
            )  # fmt: skip
            system = {"name": e.name, "label": e.label, "codebooks": k, "bitrate": rate, **facts}
            system["values"] = {
                n: {key: f["values"][n][key] for key in ("value", "low", "high", "count")}
                for n in shown
            }
            systems.append({**system, "less_the_first": differences})
    lines = [header, ["---"] * 2 + ["---:"] * (len(header) - 2), *rows]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
    note = (
        "\n95 % intervals over test speakers; * where the paired difference from the first model's "
        "excludes 0. Weights are those of encoder and decoder; tables with projections. Seconds "
        "per step were taken in turns; training is wall clock, validation included.\n"
    )
    atomic_write(folder / "table.md", text + note)
    whole = {**about, "data": next(iter(found.values()))[codebooks[0]]["data"], "systems": systems}
    atomic_write(folder / "table.json", json.dumps(whole, allow_nan=False, indent=1) + "\n")
    finish(f"quality/{title}", whole, [header, *rows])


def _cell(found: Mapping[str, Any], name: str, difference: Mapping[str, Any] | None) -> str:
    value, digits = found["values"][name], METRICS[name].digits
    text = f"{value['value']:.{digits}f}"
    if difference and difference["low"] is not None:
        text += "*" if difference["low"] > 0 or difference["high"] < 0 else ""
    if value["low"] is not None:
        text += f" [{value['low']:.{digits}f}, {value['high']:.{digits}f}]"
    return text
