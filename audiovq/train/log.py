"""What a run tells: a progress bar, `log.jsonl`, and pictures and sounds to look at."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from jaxtyping import Float
from pydantic import Field, field_validator
from torch import Tensor
from tqdm import tqdm

from audiovq import audio
from audiovq.bottlenecks._base import Statistics
from audiovq.config import Config
from audiovq.files import atomic_write, remove_stale


class LogConfig(Config):
    """Settings of logging; none of them changes a result."""

    every: int = Field(20, ge=1, description="steps averaged into one line of log.jsonl")
    snapshots: int = Field(2, ge=0, description="validation utterances kept as audio and picture")
    progress: bool = Field(True, description="show a progress bar on stderr")
    wandb: Literal["disabled", "offline", "online"] = Field(
        "disabled", description="Weights & Biases; only `disabled` in this version"
    )

    @field_validator("wandb")
    @classmethod
    def _is_available(cls, value: str) -> str:
        if value != "disabled":
            raise ValueError("not available in this version; use log.wandb=disabled")
        return value


class Log:
    """The log of one run.

    Attributes:
        last: the last step taken.

    Args:
        folder: the run folder; lines of `log.jsonl` go there.
        config: how often, and what.
        start: step the run continues from: later lines, and a torn last one, are dropped.
        max_steps: where the progress bar ends.
    """

    def __init__(self, folder: Path, config: LogConfig, start: int, max_steps: int) -> None:
        self.folder, self.config = folder, config
        self.path = folder / "log.jsonl"
        remove_stale(folder)
        kept = [e for e in read_log(self.path) if e["step"] <= start]
        atomic_write(self.path, "".join(json.dumps(e) + "\n" for e in kept))
        self._sums: dict[str, Tensor] = {}
        self._steps = 0
        self.statistics: Statistics | None = None
        self.last, self._since = start, time.perf_counter()
        self.bar = tqdm(
            total=max_steps,
            initial=start,
            unit="step",
            disable=not config.progress,
            dynamic_ncols=True,
        )

    def step(self, values: Mapping[str, Tensor], statistics: Statistics | None) -> None:
        """Add one training step to the current window; nothing leaves the device."""
        for key, value in values.items():
            old = self._sums.get(key)
            self._sums[key] = value.detach() if old is None else old + value.detach()
        if statistics is not None:
            self.statistics = (
                statistics if self.statistics is None else self.statistics + statistics
            )
        self._steps += 1
        self.last += 1
        self.bar.update()

    def flush(self, step: int, **more: float) -> None:
        """Write the window's averages as one line; `more` values stand as they are.

        `seconds_per_step` is wall clock, with what came between the steps: loading, validation,
        saving.
        """
        values = {k: float(v) / self._steps for k, v in self._sums.items()} if self._steps else {}
        line = {f"train/{k}": v for k, v in values.items()}
        now = time.perf_counter()  # after the device has delivered its sums
        if self._steps:
            line["train/seconds_per_step"] = (now - self._since) / self._steps
        self.write(step, {**line, **more})
        self.bar.set_postfix({k: f"{v:.3f}" for k, v in values.items()}, refresh=False)
        self._sums, self._steps, self.statistics, self._since = {}, 0, None, now

    def stop(self, error: Exception) -> None:
        """Write why training stops, at the last step; going on from before it drops the line."""
        self.write(self.last, {"error": str(error)})

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Append one line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")

    def snapshot(
        self,
        step: int,
        name: str,
        x: Float[Tensor, "1 1 L"],
        x_hat: Float[Tensor, "1 1 L"],
        rate: int,
    ) -> None:
        """Keep an utterance before and after as audio, and as a picture if matplotlib is there."""
        folder = self.folder / "snapshots"
        folder.mkdir(exist_ok=True)
        remove_stale(folder)
        safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)[:80]
        if not (folder / f"{safe}.original.wav").exists():
            audio.save(folder / f"{safe}.original.wav", x, rate)
        audio.save(folder / f"{safe}.step-{step:09d}.wav", x_hat, rate)
        from audiovq import report  # noqa: PLC0415  (matplotlib, only when there is something to draw)

        if report.can_draw():
            picture = report.png(report.spectrograms({"original": x, f"step {step}": x_hat}, rate))
            atomic_write(folder / f"{safe}.step-{step:09d}.png", picture)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self.bar.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log; a line that a kill tore is left out."""
    if not path.exists():
        return []
    lines = []
    for line in path.read_text("utf-8", "replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("step"), int):
            lines.append(entry)
    return lines
