"""The best model so far, and when to stop waiting for a better one."""

import math
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from audiovq.config import Config
from audiovq.errors import ConfigError


class BestConfig(Config):
    """What the best model is."""

    metric: str = Field(
        "validation/mel", description="the lowest wins; kept as best/ in run.dir; empty: none is"
    )
    patience: int = Field(
        0, ge=0, description="validations without a better one after which training ends; 0: never"
    )


class Best:
    """The lowest value of a metric, and how many validations ago it was.

    Attributes:
        value: the lowest so far; infinite before the first.
        step: where it was.
        waited: validations since.
    """

    def __init__(self, config: BestConfig) -> None:
        self.config = config
        self.value, self.step, self.waited = math.inf, 0, 0

    def improves(self, step: int, figures: Mapping[str, float]) -> bool:
        """Look at a validation; returns whether it is the best so far.

        Raises:
            ConfigError: the metric is not among the figures.
        """
        name = self.config.metric
        if not name:
            return False
        if name not in figures:
            known = ", ".join(sorted(figures))
            raise ConfigError(f"best.metric={name} is no figure of this run; known: {known}")
        if figures[name] < self.value:
            self.value, self.step, self.waited = figures[name], step, 0
            return True
        self.waited += 1
        return False

    @property
    def given_up(self) -> bool:
        """Whether it was waited for long enough."""
        return 0 < self.config.patience <= self.waited

    def state_dict(self) -> dict[str, Any]:
        """Return metric, value, step and waiting."""
        return {
            "metric": self.config.metric,
            "value": self.value,
            "step": self.step,
            "waited": self.waited,
        }

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Restore value, step and waiting; of another metric there is nothing to restore."""
        if state["metric"] != self.config.metric:
            return
        self.value, self.step, self.waited = state["value"], state["step"], state["waited"]
