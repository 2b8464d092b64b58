"""What every recipe does around its loop: run folder, resuming, validation items, report."""

import math
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from audiovq import audio, report
from audiovq.config import Config, parse, read_yaml, to_yaml
from audiovq.data.manifest import Manifest
from audiovq.errors import ConfigError
from audiovq.files import atomic_write, remove_stale
from audiovq.train.log import read_log

# Fields that change no result: they may differ when a run goes on.
OPERATIONAL = (
    "run",
    "log",
    "checkpoint",
    "data.manifest",  # its content is compared instead, by `Identity`
    "data.workers",
    "train.device",
    "train.max_steps",
    "train.validate_every",
    "train.validation_seconds",
    "train.validation_utterances",
)

_SHORT = reprlib.Repr()  # a setting may be the names of thousands of speakers
_SHORT.maxstring = _SHORT.maxother = 200


class RunConfig(Config):
    """Where a run lives."""

    dir: str = Field("runs/run", description="folder of the run; made if missing")


class CheckpointConfig(Config):
    """How often a run can be taken up again."""

    every: int = Field(250, ge=1, description="steps between checkpoints")
    keep: int = Field(2, ge=1, description="how many of the newest checkpoints stay")


class Identity:
    """A value that must be the same when a run goes on, such as the corpus's fingerprint."""

    def __init__(self, value: str) -> None:
        self.value = value

    def state_dict(self) -> dict[str, Any]:
        """Return the value."""
        return {"value": self.value}

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Refuse another value."""
        if state["value"] != self.value:
            raise ValueError(
                "the manifest's records are not those this run was started with; "
                "start another run.dir"
            )


def open_folder(config: Any) -> Path:
    """Make the run folder, or take it up again, without what a killed writer left in it.

    Raises:
        ConfigError: the folder holds a run whose deciding settings differ.
    """
    folder = Path(config.run.dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"run.dir={folder} cannot be a folder: {error}") from None
    for place in (folder, folder / "model", folder / "snapshots"):
        remove_stale(place)
    refuse_other_settings(folder, config)
    return folder


def refuse_other_settings(folder: Path, config: Config) -> None:
    """Compare a run's stored config, if it has begun, with the one it is to go on with.

    Raises:
        ConfigError: settings that decide the result differ.
    """
    path = folder / "config.yaml"
    if not path.exists() or not any((folder / "checkpoints").glob("*.pt")):
        return
    old = deciding(_with_defaults(config, read_yaml(path)))
    new = deciding(config.model_dump(mode="json"))
    changed = [
        f"{k}: {_SHORT.repr(old.get(k))} then, {_SHORT.repr(new.get(k))} now"
        for k in sorted(old.keys() | new.keys())
        if old.get(k) != new.get(k)
    ]
    if changed:
        raise ConfigError(
            f"{folder} holds a run with other settings ({'; '.join(changed[:5])}): put them "
            f"back to go on with it, or choose another run.dir"
        )


def deciding(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that decide a run's result, by dotted path."""
    return {k: v for k, v in _flat(values).items() if not _operational(k)}


def _with_defaults(config: Config, values: dict[str, Any]) -> dict[str, Any]:
    """Return a stored config as this version reads it: fields it lacks have their defaults."""
    try:
        return parse(type(config), values).model_dump(mode="json")
    except ConfigError:  # it has fields of another version, which the comparison will name
        return values


def store_config(folder: Path, config: Config) -> None:
    """Write the resolved config, once the run is known to go on with it."""
    atomic_write(folder / "config.yaml", to_yaml(config))


def pick_device(name: str) -> torch.device:
    """Return the device of that name; `auto` is the first GPU, or the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        first = str(error).split("\n", maxsplit=1)[0]
        raise ConfigError(f"train.device={name} cannot be used here: {first}") from None
    return device


def validation_items(
    manifest: Manifest, sample_rate: int, most: int, seconds: float
) -> list[tuple[str, Float[Tensor, "1 1 L"]]]:
    """Return id and beginning of validation utterances, spread evenly over the split."""
    records = manifest.select("validation")
    chosen = records[:: max(1, math.ceil(len(records) / most))]
    items = []
    for r in chosen:
        size = min(r.num_samples, round(seconds * r.sample_rate))
        x = audio.load(
            manifest.file(r), sample_rate, start=r.start, num_samples=size, channel=r.channel
        )
        items.append((r.id, x))
    return items


def write_report(folder: Path, name: str) -> None:
    """Write `report.html`: curves of the log, and the newest snapshots to see and hear."""
    if not report.can_draw():
        return
    entries = read_log(folder / "log.jsonl")
    page = report.Page(f"Training run {name}", "Made from log.jsonl and snapshots in this folder.")
    add_curves(page, {name: entries})
    for original in sorted((folder / "snapshots").glob("*.original.wav")):
        stem = original.name.removesuffix(".original.wav")
        newest = max((folder / "snapshots").glob(f"{stem}.step-*.wav"))
        x, x_hat = audio.load(original), audio.load(newest)
        rate = audio.probe(original).sample_rate
        page.heading(f"Validation utterance {stem}")
        sounds = {"original": x, newest.stem.rsplit(".")[-1]: x_hat}
        page.sounds(sounds, rate)
        page.figure(report.spectrograms(sounds, rate), "Mel spectrograms, time in s, level in dB.")
    page.write(folder / "report.html")


def add_curves(page: report.Page, logs: Mapping[str, list[dict[str, Any]]]) -> None:
    """Add loss curves, and codebook curves where there is a codebook, of one run or several."""
    page.heading("Loss")
    losses = {}
    for name, entries in logs.items():
        losses[f"{name}, training"] = report.from_log(entries, "train/loss")
        losses[f"{name}, validation mel"] = report.from_log(entries, "validation/mel")
    page.figure(
        report.curves(losses, "loss", log_scale=True),
        "Total training loss (mean of each log window) and the validation log-mel term (nepers).",
    )
    for key, label in (("perplexity", "perplexity (codes)"), ("usage", "usage (share of codes)")):
        found = {}
        for name, entries in logs.items():
            for part in ("train", "validation"):
                series = report.from_log(entries, f"{part}/{key}")
                if series[0]:
                    found[f"{name}, {part}"] = series
        if found:
            page.figure(
                report.curves(found, label, bottom=0.0),
                f"Codebook {key}: over each log window, and over the whole validation set.",
            )


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, Mapping):
        return {prefix: values}
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _operational(key: str) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in OPERATIONAL)
