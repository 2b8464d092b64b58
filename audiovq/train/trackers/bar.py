"""A progress bar on stderr."""

from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

from audiovq.losses.reconstruction import TERMS
from audiovq.train.trackers._base import Tracker


class Bar(Tracker):
    """Steps taken and to come, with the newest training figures.

    Args:
        start: step the run continues from.
        max_steps: where the bar ends.
    """

    def __init__(self, start: int, max_steps: int) -> None:
        self.bar = tqdm(total=max_steps, initial=start, unit="step", dynamic_ncols=True)

    def advance(self) -> None:
        """Move on by a step."""
        self.bar.update()

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Show the loss and its parts."""
        del step
        shown = ("loss", *TERMS, "bottleneck")
        found = {k: f"{values[f'train/{k}']:.3f}" for k in shown if f"train/{k}" in values}
        if found:
            self.bar.set_postfix(found, refresh=False)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self.bar.close()
