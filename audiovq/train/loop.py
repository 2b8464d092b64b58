"""The order of a training step, and nothing else. Every recipe with one optimizer uses it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from audiovq.bottlenecks._base import Bottleneck, Statistics
from audiovq.config import Config
from audiovq.data.loader import Batch
from audiovq.train.finite import Guard, guarded_update
from audiovq.train.log import Log
from audiovq.train.optim import Optimizer, learning_rate
from audiovq.train.signals import Interrupted, Stop


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


class IntervalConfig(Config):
    """When training stops and looks around."""

    max_steps: int = Field(3000, ge=0, description="optimizer steps in all")
    validate_every: int = Field(500, ge=1, description="steps between validations")


def fit(
    *,
    start: int,
    intervals: IntervalConfig,
    save_every: int,
    batches: Callable[[int], Iterator[Batch]],
    step: Callable[[Batch], StepOutput],
    model: nn.Module,
    bottleneck: Bottleneck,
    optimizer: Optimizer,
    validate: Callable[[int], Mapping[str, float]],
    save: Callable[[int], None],
    log: Log,
) -> None:
    """Train from step `start` to `max_steps`.

    A step: forward, backward, one flag whether all is finite, optimizer, codebook. The host waits
    for the device only when the log is flushed; on a CPU there is nothing to wait for, and a NaN
    stops the run in its own step.

    Raises:
        NonFiniteError: NaN or infinity appeared; nothing was changed or saved since.
        Interrupted: Ctrl-C or SIGTERM came; the step was finished and saved.
    """
    guard = Guard()
    with Stop() as stop:
        numbers = range(start + 1, intervals.max_steps + 1)
        for done, batch in zip(numbers, batches(start), strict=False):
            optimizer.zero_grad()  # before `step`, which may itself go backward on micro-batches
            out = step(batch)
            out.loss.backward()  # type: ignore[no-untyped-call]
            norm = optimizer.clip()
            ok = guard.check(done, out.checks, norm)
            on_cpu = ok.device.type == "cpu"
            optimizer.step(done - 1, ok)
            if out.statistics is not None:
                guarded_update(bottleneck, out.statistics, ok, wait=on_cpu)
            log.step({"loss": out.loss, **out.terms, "gradient_norm": norm}, out.statistics)

            stopping = stop.requested  # read once: a signal from here on waits for the next step
            ending = done == intervals.max_steps or stopping is not None
            saving = ending or done % save_every == 0
            flushing = saving or done % log.config.every == 0
            if flushing or on_cpu:
                guard.raise_if_not(lambda: dict(model.named_parameters()))
            if flushing:
                described = bottleneck.describe(log.statistics) if log.statistics else {}
                rate = learning_rate(optimizer.config, done - 1)
                log.flush(done, lr=rate, **{f"train/{k}": v for k, v in described.items()})
            if done % intervals.validate_every == 0 or done == intervals.max_steps:
                log.write(done, validate(done))
            if saving:  # last, so that the log holds all that a checkpoint has behind it
                save(done)
            if stopping is not None:
                raise Interrupted(stopping, done)
