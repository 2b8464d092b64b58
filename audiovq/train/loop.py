"""The order of a training step, and nothing else. Every recipe with one optimizer uses it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from audiovq import distributed
from audiovq.bottlenecks._base import Bottleneck, Statistics
from audiovq.config import Config
from audiovq.train.finite import Guard, finite, guarded_update
from audiovq.train.log import Log
from audiovq.train.merge import merge
from audiovq.train.optim import Optimizer, learning_rate
from audiovq.train.signals import TIME_IS_UP, Clock, Interrupted, Stop


@runtime_checkable
class Divisible(Protocol):
    """A batch, of whatever: all the loop asks of one is that it comes apart."""

    def split(self, parts: int, /) -> Sequence[Any]:
        """Return the items in so many parts, as equal as can be."""


BatchT = TypeVar("BatchT", bound=Divisible)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepOutput:
    """What a recipe's `step` returns.

    Attributes:
        loss: to minimise, normalised over the whole step.
        terms: detached parts of it, as logged.
        statistics: what the bottleneck learns outside the gradient.
        checks: tensors in pipeline order; the first that is not finite is named.
    """

    loss: Float[Tensor, ""]
    terms: Mapping[str, Float[Tensor, ""]]
    statistics: Statistics | None = None
    checks: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass
class _Step:
    """What the micro-batches of a step add up to.

    Attributes:
        terms: the parts of the loss, this process's share.
        statistics: of all of them.
        finite: whether each checked tensor of all of them was.
    """

    terms: dict[str, Float[Tensor, ""]] = field(default_factory=dict)
    statistics: Statistics | None = None
    finite: dict[str, Bool[Tensor, ""]] = field(default_factory=dict)

    def add(self, out: StepOutput) -> None:
        """Add a micro-batch."""
        for key, value in {"loss": out.loss.detach(), **out.terms}.items():
            self.terms[key] = self.terms[key] + value if key in self.terms else value
        for key, flag in finite(out.checks).items():
            self.finite[key] = self.finite[key] & flag if key in self.finite else flag
        if out.statistics is not None:
            old = self.statistics
            self.statistics = out.statistics if old is None else old + out.statistics


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


def fit(
    *,
    start: int,
    intervals: IntervalConfig,
    save_every: int,
    batches: Callable[[int], Iterator[BatchT]],
    step: Callable[[BatchT], StepOutput],
    network: nn.Module,
    optimizer: Optimizer,
    validate: Callable[[int], Mapping[str, float]],
    save: Callable[[int], None],
    log: Log,
    bottleneck: Bottleneck | None = None,
    after_step: Callable[[], None] = lambda: None,
    given_up: Callable[[], bool] = lambda: False,
) -> None:
    """Train from step `start` to `max_steps`.

    A step: forward and backward of each micro-batch, what all ranks learned put together, one flag
    whether all is finite, optimizer, codebook if there is one. The host waits for the device only
    when the log is flushed; on a CPU there is nothing to wait for, and a NaN stops the run in its
    own step. After a validation that leaves `given_up` true, training ends as if it had reached
    `max_steps`.

    Raises:
        NonFiniteError: NaN or infinity appeared; nothing was changed or saved since.
        Interrupted: Ctrl-C, SIGTERM or SIGUSR1 came to any rank, or the time is up; the step was
            finished and saved.
    """
    guard, clock = Guard(), Clock(intervals.max_hours)
    with Stop() as stop:
        numbers = range(start + 1, intervals.max_steps + 1)
        for done, batch in zip(numbers, batches(start), strict=False):
            distributed.at_step(done)
            optimizer.zero_grad()
            out = _forward_and_backward(batch.split(intervals.micro_batches), step, network)
            statistics = None if out.statistics is None else merge(out.statistics)
            norm = optimizer.clip()
            ok = guard.check(done, out.finite, norm)
            on_cpu = ok.device.type == "cpu"
            optimizer.step(done - 1, ok)
            if bottleneck is not None and statistics is not None:
                guarded_update(bottleneck, statistics, ok, wait=on_cpu)
            after_step()
            log.step(out.terms, {"gradient_norm": norm}, statistics)

            # read once: a signal from here on waits for the next step
            stopping = distributed.agree(stop.requested or (TIME_IS_UP if clock.is_up else 0))
            last = done == intervals.max_steps
            validating = last or done % intervals.validate_every == 0
            saving = last or stopping != 0 or done % save_every == 0
            # before a validation, too: it may end training, and then comes a save
            flushing = saving or validating or done % log.config.every == 0
            if flushing or on_cpu:
                guard.raise_if_not(lambda: _parameters(network))
            if flushing:
                seen = log.statistics
                described = bottleneck.describe(seen) if bottleneck and seen else {}
                rate = learning_rate(optimizer.config, done - 1)
                log.flush(done, lr=rate, **{f"train/{k}": v for k, v in described.items()})
            if validating:
                log.write(done, validate(done))
                last = last or given_up()
            if saving or last:  # at the end, so that the log holds all a checkpoint has behind it
                save(done)
                # who leaves sooner has the launcher end the rank that still writes
                distributed.agree(0)
            if stopping:
                raise Interrupted(stopping, done)
            if last:
                return


def _parameters(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the model's parameters by their own names, whatever is around it."""
    named = network.named_parameters()
    return {k.removeprefix("module.").removeprefix("_orig_mod."): p for k, p in named}


def _forward_and_backward(
    parts: Sequence[BatchT], step: Callable[[BatchT], StepOutput], network: nn.Module
) -> _Step:
    """Add up loss and gradient of the micro-batches of a step; the last one's backward sends it."""
    whole = _Step()
    ranks = distributed.part()[1]
    for i, part in enumerate(parts):
        with nullcontext() if i == len(parts) - 1 else distributed.hold(network):
            out = step(part)
            # DDP takes the mean over ranks; the loss is normalised for a sum over them.
            (out.loss * ranks).backward()  # type: ignore[no-untyped-call]
        whole.add(out)
    return whole
