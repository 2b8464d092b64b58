"""Weights & Biases, online or offline."""

import contextlib
import io
import json
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from torch import Tensor

from audiovq.errors import ConfigError
from audiovq.files import atomic_write
from audiovq.train.trackers._base import Snapshot, Tracker

_BINS = 64
_USER_INFO = re.compile(r"(\w+://)\S*@")
_QUERY = re.compile(r"(\w+://[^\s?]*)\?\S*")


class WandB(Tracker):
    """Sends figures, sounds, pictures and codebook use to a Weights & Biases run.

    The run's id is kept in the run folder, so a continued run is one run there, too. Steps are a
    figure of their own, because a run that goes on from a checkpoint takes some steps twice.
    What describes the run is the resolved config, paths included, and what W&B itself adds: its own
    and Python's version and the platform. No environment variable, command, package list or code is
    sent, and the key stays where `wandb login` or WANDB_API_KEY has it.

    Args:
        folder: the run folder.
        mode: offline writes below `folder/wandb`, for `wandb sync`.
        settings: the resolved config.
    """

    def __init__(
        self, folder: Path, mode: Literal["offline", "online"], settings: Mapping[str, Any]
    ) -> None:
        try:
            import wandb  # noqa: PLC0415  (optional)
        except ImportError:
            raise ConfigError(
                f'log.wandb={mode} needs Weights & Biases: pip install "audiovq[train]"'
            ) from None
        self._wandb = wandb
        for name in ("DATA", "CACHE", "CONFIG"):  # else it writes below the home folder
            os.environ.setdefault(f"WANDB_{name}_DIR", str(folder / "wandb" / name.lower()))
        try:
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", "audiovq"),
                name=folder.name,
                id=_identity(folder),
                resume="allow",
                dir=str(folder),
                mode=mode,
                config=_without_secrets(dict(settings)),
                settings=wandb.Settings(
                    console="off",
                    disable_code=True,
                    disable_git=True,
                    save_code=False,
                    silent=True,
                    x_disable_meta=True,
                    x_disable_machine_info=True,
                    x_disable_stats=True,
                    x_save_requirements=False,
                ),
            )
        except (wandb.Error, OSError) as error:
            first = str(error).strip().split("\n")[0]
            raise ConfigError(
                f"log.wandb={mode} cannot start ({first}): run `wandb login`, or use "
                f"log.wandb=offline"
            ) from None
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Send figures."""
        self._run.log({"step": step, **values})

    def codebooks(self, step: int, counts: Mapping[str, Float[Tensor, "N"]]) -> None:
        """Send how often codes were used, the most frequent first."""
        charts = {}
        for name, count in counts.items():
            used = np.sort(count.detach().float().cpu().numpy())[::-1]
            parts = np.array_split(used, min(_BINS, len(used)))
            edges = np.linspace(0, len(used), len(parts) + 1)
            heights = np.array([p.sum() for p in parts])
            histogram = self._wandb.Histogram(np_histogram=(heights, edges))
            charts[f"codes/{name.removesuffix('count') or 'used'}"] = histogram
        self._run.log({"step": step, **charts})

    def sounds(self, step: int, snapshot: Snapshot) -> None:
        """Send an utterance before and after, and the picture of both."""
        told: dict[str, Any] = {"step": step}
        for label, y in (("original", snapshot.x), ("reconstruction", snapshot.x_hat)):
            wave = y.detach().float().cpu().flatten().clamp(-1, 1).numpy()
            told[f"{label}/{snapshot.name}"] = self._wandb.Audio(
                wave, sample_rate=snapshot.sample_rate
            )
        if snapshot.picture is not None:
            from PIL import Image  # noqa: PLC0415  (comes with matplotlib)

            told[f"spectrograms/{snapshot.name}"] = self._wandb.Image(
                Image.open(io.BytesIO(snapshot.picture))
            )
        self._run.log(told)

    def close(self) -> None:
        """Write what is left."""
        self._run.finish()


def _identity(folder: Path) -> str:
    """Return the id of this folder's run, made at its first start."""
    path = folder / "wandb.json"
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):  # none yet, or torn
        return str(json.loads(path.read_text("utf-8"))["id"])
    identity = secrets.token_hex(4)
    atomic_write(path, json.dumps({"id": identity}) + "\n")
    return identity


def _without_secrets(value: Any) -> Any:
    """Return settings without users, passwords and queries in addresses."""
    if isinstance(value, str):
        return _QUERY.sub(r"\1", _USER_INFO.sub(r"\1", value))
    if isinstance(value, Mapping):
        return {k: _without_secrets(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(v) for v in value]
    return value
