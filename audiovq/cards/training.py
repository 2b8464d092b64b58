"""How a model was trained, read from its run folder: nothing of it is typed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audiovq import config as configs
from audiovq.errors import AudioVQError, ConfigError
from audiovq.files import atomic_write
from audiovq.train.trackers.lines import read_log

MACHINE = "machine.json"  # in a run folder: what it was trained on


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a model was trained.

    Attributes:
        data: corpus, hours and speakers of the training split; for `Facts.data`, too.
        lines: name and value of everything else worth saying.
    """

    data: str
    lines: Mapping[str, str]


def record_machine(run: Path, device: Any) -> None:
    """Note in a run folder what it is trained on; only before it has begun."""
    from audiovq.eval import machine  # noqa: PLC0415  (torch)

    if not (run / "log.jsonl").exists() and not (run / MACHINE).exists():
        run.mkdir(parents=True, exist_ok=True)
        atomic_write(run / MACHINE, json.dumps(machine.describe(device), indent=1) + "\n")


def read(run: Path, command: str = "", hardware: str = "", part: str = "") -> Training:
    """Return how the model of a run folder was trained.

    Args:
        run: holds `config.yaml` and `log.jsonl`.
        command: that trains it again; "": not said.
        hardware: in words; "": what `record_machine` noted, if it did.
        part: which of the run's models it is: `best`, `average`, `model`; "": not known.

    Raises:
        ConfigError: it is no run folder.
    """
    path = run / "config.yaml"
    if not path.is_file():
        raise ConfigError(f"{run} is no run folder: one with config.yaml and log.jsonl is accepted")
    config, log = configs.read_yaml(path), read_log(run / "log.jsonl")
    date = datetime.fromtimestamp((run / "log.jsonl").stat().st_mtime, UTC) if log else None
    lines = {
        "steps": _steps(config, log, part),
        "batch": _batch(config),
        "loss": _loss(config),
        "optimizer": _optimizer(config),
        "precision": f"{config['train']['precision']}, seed {config['train']['seed']}",
        "hardware": hardware or _hardware(run),
        "time in steps": _time(config, log),
        "date": f"{date:%Y-%m-%d}" if date else "",
        "command": f"`{command}`" if command else "",
    }
    return Training(data=_data(config), lines={k: v for k, v in lines.items() if v})


def _data(config: Mapping[str, Any]) -> str:
    """Return corpus, hours and speakers of what was learned from, if it is still there."""
    try:
        if "codes" in config:
            return _of_units(Path(config["codes"]))
        return _of_manifest(Path(config["data"]["manifest"]))
    except (AudioVQError, OSError):
        return ""


def _of_manifest(path: Path) -> str:
    from audiovq.data import manifest as manifests  # noqa: PLC0415  (torch)

    manifest = manifests.read(path)
    records = manifest.select("train")
    hours = sum(r.num_samples / r.sample_rate for r in records) / 3600
    speakers = {r.speaker for r in records if r.speaker is not None}
    return _said(str(manifest.header.get("corpus") or path.stem), hours, len(speakers))


def _of_units(folder: Path) -> str:
    from audiovq.data import manifest as manifests  # noqa: PLC0415
    from audiovq.units import load  # noqa: PLC0415
    from audiovq.units.sequences import read_split  # noqa: PLC0415

    units = load(folder)
    learned = read_split(units, "train")
    speakers = {s for s in learned.speakers if s is not None}
    told = Path(units.metadata.made_from.get("manifest", ""))
    corpus = manifests.read(told).header.get("corpus") if told.is_file() else None
    return _said(str(corpus or folder.name), float(learned.seconds.sum()) / 3600, len(speakers))


def _said(corpus: str, hours: float, speakers: int) -> str:
    return f"{corpus}, {hours:.2f} h of {speakers} training speakers"


def _steps(config: Mapping[str, Any], log: list[dict[str, Any]], part: str) -> str:
    last = max((e["step"] for e in log), default=0)
    metric = config.get("best", {}).get("metric", "validation/mel")
    scored = [(e[metric], e["step"]) for e in log if metric and metric in e]
    if not scored:
        return f"{last:,}"
    step = min(scored)[1]
    if part == "best":
        return f"{last:,}; the weights are those of step {step:,}, where `{metric}` was lowest"
    return f"{last:,}; `{metric}` was lowest at step {step:,}"


def _batch(config: Mapping[str, Any]) -> str:
    data = config["data"]
    if "segment_seconds" in data:
        return f"{data['batch_size']} segments of {data['segment_seconds']:g} s"
    return f"{data['batch_size']} utterances"


def _loss(config: Mapping[str, Any]) -> str:
    loss = config.get("loss")
    if loss is None:
        return f"cross-entropy, label smoothing {config['train'].get('label_smoothing', 0):g}"
    weights = {k: v for k, v in loss.items() if isinstance(v, int | float)}
    parts = [f"{k} {v:g}" for k, v in sorted(weights.items()) if v]
    judges = [str(d.get("name")) for d in config.get("discriminators", ())]
    return ", ".join(parts + judges)


def _optimizer(config: Mapping[str, Any]) -> str:
    o = config["optim"]
    return f"AdamW, learning rate {o['lr']:g} after {o['warmup_steps']} steps of warm-up"


def _hardware(run: Path) -> str:
    try:
        m = json.loads((run / MACHINE).read_text("utf-8"))
        where = m["cpu"] if m["device"] == "cpu" else m["device"]
        return f"{where}, {m['threads']} thread(s), torch {m['torch']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "not recorded"


def _time(config: Mapping[str, Any], log: list[dict[str, Any]]) -> str:
    """Return the hours that steps took: a line's mean times the steps it stands for."""
    every = config["log"]["every"]
    seconds = sum(e["train/seconds_per_step"] * every for e in log if "train/seconds_per_step" in e)
    return f"{seconds / 3600:.2f} h" if seconds else ""
