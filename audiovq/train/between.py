"""What comes between two steps, the same in every loop: look, log, validate, save, stop."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import Field
from torch import nn

from audiovq import distributed
from audiovq.bottlenecks._base import Bottleneck
from audiovq.config import Config
from audiovq.train.finite import Guard
from audiovq.train.log import Log
from audiovq.train.signals import TIME_IS_UP, Clock, Interrupted, Stop


class IntervalConfig(Config):
    """When training stops and looks around."""

    max_steps: int = Field(3000, ge=0, description="optimizer steps in all")
    validate_every: int = Field(500, ge=1, description="steps between validations")
    max_hours: float | None = Field(
        None, gt=0, description="wall-clock budget of this start (h); then all is saved; null: none"
    )
    micro_batches: int = Field(
        1, ge=1, description="parts that a step's batch is worked through in, to need less memory"
    )


@dataclass(frozen=True, kw_only=True)
class Between:
    """What comes between two steps.

    Attributes:
        intervals: when.
        save_every: steps between checkpoints.
        guard: knows whether all was finite.
        networks: the modules that learn, by what their parameters' names begin with in an error.
        bottleneck: describes what it learned; None: there is none.
        rates: gives the learning rates of a step, as logged.
        validate: measures and returns figures.
        save: writes all there is to go on from.
        given_up: whether training ends here, asked after a validation.
        log: of the run.
    """

    intervals: IntervalConfig
    save_every: int
    guard: Guard
    networks: Mapping[str, nn.Module]
    bottleneck: Bottleneck | None
    rates: Callable[[int], Mapping[str, float]]
    validate: Callable[[int], Mapping[str, float]]
    save: Callable[[int], None]
    given_up: Callable[[], bool]
    log: Log

    def is_over(self, done: int, stop: Stop, clock: Clock) -> bool:
        """Do what is due after step `done`; returns whether it was the last.

        The host waits for the device only when the log is flushed; on a CPU there is nothing to
        wait for, and a NaN stops the run in its own step. After a validation that leaves
        `given_up` true, training ends as if it had reached `max_steps`.

        Raises:
            NonFiniteError: NaN or infinity appeared; nothing was changed or saved since.
            Interrupted: Ctrl-C, SIGTERM or SIGUSR1 came to any rank, or the time is up; the step
                was finished and saved.
        """
        intervals = self.intervals
        # read once: a signal from here on waits for the next step
        stopping = distributed.agree(stop.requested or (TIME_IS_UP if clock.is_up else 0))
        last = done == intervals.max_steps
        validating = last or done % intervals.validate_every == 0
        saving = last or stopping != 0 or done % self.save_every == 0
        # before a validation, too: it may end training, and then comes a save
        flushing = saving or validating or done % self.log.config.every == 0
        if flushing or self.guard.waits_for_nothing:
            self.guard.raise_if_not(self._parameters)
        if flushing:
            self._flush(done)
        if validating:
            self.log.write(done, self.validate(done))
            last = last or self.given_up()
        if saving or last:  # at the end, so that the log holds all a checkpoint has behind it
            self.save(done)
            # who leaves sooner has the launcher end the rank that still writes
            distributed.agree(0)
        if stopping:
            raise Interrupted(stopping, done)
        return last

    def _flush(self, done: int) -> None:
        seen = self.log.statistics
        described = self.bottleneck.describe(seen) if self.bottleneck and seen else {}
        more = {f"train/{k}": v for k, v in described.items()}
        self.log.flush(done, **self.rates(done), **more)

    def _parameters(self) -> dict[str, nn.Parameter]:
        """Return all parameters by their own names, whatever is around their module."""
        return {
            prefix + k.removeprefix("module.").removeprefix("_orig_mod."): p
            for prefix, network in self.networks.items()
            for k, p in network.named_parameters()
        }
