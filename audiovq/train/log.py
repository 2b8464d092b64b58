"""What a run tells, and how often; `trackers/` are where it goes."""

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from audiovq import distributed
from audiovq.bottlenecks._base import Statistics
from audiovq.config import Config
from audiovq.errors import NonFiniteError
from audiovq.train.trackers._base import Snapshot, Tracker
from audiovq.train.trackers.bar import Bar
from audiovq.train.trackers.lines import Lines
from audiovq.train.trackers.snapshots import Snapshots


class LogConfig(Config):
    """Settings of logging; none of them changes a result."""

    every: int = Field(20, ge=1, description="steps averaged into one line of log.jsonl")
    snapshots: int = Field(2, ge=0, description="validation utterances kept as audio and picture")
    progress: bool = Field(True, description="show a progress bar on stderr")
    wandb: Literal["disabled", "offline", "online"] = Field(
        "disabled",
        description="Weights & Biases: offline: files in run.dir, sent later by `wandb sync`; "
        "online: sent at once, with the key that `wandb login` stored or WANDB_API_KEY",
    )


class Log:
    """The log of one run: averages over windows of steps, told to every tracker.

    All ranks keep one, since a window's averages are over all of them; only the main one tells.

    Attributes:
        last: the last step taken.
        statistics: of the window, of all ranks.

    Args:
        folder: the run folder; lines of `log.jsonl` go there.
        config: how often, and what.
        start: step the run continues from: later lines, and a torn last one, are dropped.
        max_steps: where the progress bar ends.
        settings: of the run, to be shown beside its curves.
    """

    def __init__(
        self,
        folder: Path,
        config: LogConfig,
        start: int,
        max_steps: int,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.config = config
        self.path = folder / "log.jsonl"
        self._trackers: list[Tracker] = []
        if distributed.is_main():
            self._trackers = [Lines(self.path, start), Snapshots(folder)]
            if config.wandb != "disabled":
                from audiovq.train.trackers.wandb import WandB  # noqa: PLC0415  (optional)

                self._trackers.append(WandB(folder, config.wandb, settings or {}))
            if config.progress:
                self._trackers.append(Bar(start, max_steps))
        self._shares: dict[str, Tensor] = {}
        self._wholes: dict[str, Tensor] = {}
        self._counts: Counter[str] = Counter()  # steps of the window that had each figure
        self._steps = 0
        self.statistics: Statistics | None = None
        self.last, self._since = start, time.perf_counter()

    def __enter__(self) -> "Log":  # noqa: PYI034  (beartype refuses Self here)
        """Return it; it is closed behind the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it, and write before at the last step if a number that is not finite ends the run.

        Going on from before that step drops the line.
        """
        try:
            if isinstance(error, NonFiniteError):
                self.write(self.last, {"error": str(error)})
        finally:
            self.close()

    def step(
        self,
        shares: Mapping[str, Tensor],
        wholes: Mapping[str, Tensor],
        statistics: Statistics | None,
    ) -> None:
        """Add one training step to the current window; nothing leaves the device.

        A figure that not every step has is averaged over those that have it.

        Args:
            shares: this rank's; the figure is the sum over ranks.
            wholes: the same on every rank.
            statistics: of all ranks.
        """
        for sums, values in ((self._shares, shares), (self._wholes, wholes)):
            for key, value in values.items():
                old = sums.get(key)
                sums[key] = value.detach() if old is None else old + value.detach()
                self._counts[key] += 1
        if statistics is not None:
            old_ones = self.statistics
            self.statistics = statistics if old_ones is None else old_ones + statistics
        self._steps += 1
        self.last += 1
        for tracker in self._trackers:
            tracker.advance()

    def flush(self, step: int, **more: float) -> None:
        """Write the window's averages as one line; `more` values stand as they are.

        `seconds_per_step` is wall clock, with what came between the steps: loading, validation,
        saving.
        """
        shares = {k: v.clone() for k, v in self._shares.items()}
        distributed.all_reduce_sum_(list(shares.values()))
        values = {k: float(v) / self._counts[k] for k, v in {**shares, **self._wholes}.items()}
        line = {f"train/{k}": v for k, v in values.items()}
        now = time.perf_counter()  # after the device has delivered its sums
        if self._steps:
            line["train/seconds_per_step"] = (now - self._since) / self._steps
        self.write(step, {**line, **more})
        if self.statistics is not None:
            counts = {k: v for k, v in self.statistics.sums.items() if k.split("/")[-1] == "count"}
            for tracker in self._trackers:
                tracker.codebooks(step, counts)
        self._shares, self._wholes, self.statistics = {}, {}, None
        self._counts.clear()
        self._steps, self._since = 0, now

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Tell figures of a step."""
        for tracker in self._trackers:
            tracker.write(step, values)

    def snapshot(
        self,
        step: int,
        name: str,
        x: Float[Tensor, "1 1 L"],
        x_hat: Float[Tensor, "1 1 L"],
        rate: int,
    ) -> None:
        """Keep an utterance before and after as audio, and as a picture if matplotlib is there."""
        if not self._trackers:
            return
        from audiovq import report  # noqa: PLC0415  (matplotlib, only when there is something to draw)

        picture = None
        if report.can_draw():
            sounds = {"original": x, f"step {step}": x_hat}
            picture = report.png(report.spectrograms(sounds, rate))
        snapshot = Snapshot(name=name, x=x, x_hat=x_hat, sample_rate=rate, picture=picture)
        for tracker in self._trackers:
            tracker.sounds(step, snapshot)

    def close(self) -> None:
        """Leave the terminal as it was."""
        for tracker in self._trackers:
            tracker.close()
