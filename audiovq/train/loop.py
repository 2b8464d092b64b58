"""The order of a training step, and nothing else. Every recipe with one optimizer uses it."""

from collections.abc import Callable, Iterator, Mapping

from torch import nn

from audiovq import distributed
from audiovq.bottlenecks._base import Bottleneck
from audiovq.train.between import Between, IntervalConfig
from audiovq.train.finite import Guard, guarded_update
from audiovq.train.log import Log
from audiovq.train.merge import merge
from audiovq.train.optim import Optimizer, learning_rate
from audiovq.train.signals import Clock, Stop
from audiovq.train.step import BatchT, StepOutput, forward_and_backward

__all__ = ["IntervalConfig", "StepOutput", "fit"]


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
    whether all is finite, optimizer, codebook if there is one; then `Between` does what is due.

    Raises:
        NonFiniteError: NaN or infinity appeared; nothing was changed or saved since.
        Interrupted: Ctrl-C, SIGTERM or SIGUSR1 came to any rank, or the time is up; the step was
            finished and saved.
    """
    guard, clock = Guard(), Clock(intervals.max_hours)
    between = Between(
        intervals=intervals,
        save_every=save_every,
        guard=guard,
        networks={"": network},
        bottleneck=bottleneck,
        rates=lambda done: {"lr": learning_rate(optimizer.config, done - 1)},
        validate=validate,
        save=save,
        given_up=given_up,
        log=log,
    )
    with Stop() as stop:
        numbers = range(start + 1, intervals.max_steps + 1)
        for done, batch in zip(numbers, batches(start), strict=False):
            distributed.at_step(done)
            optimizer.zero_grad()
            out = forward_and_backward(batch.split(intervals.micro_batches), step, (network,))
            statistics = None if out.statistics is None else merge(out.statistics)
            norm = optimizer.clip()
            ok = guard.check(done, out.finite, norm)
            optimizer.step(done - 1, ok)
            if bottleneck is not None and statistics is not None:
                guarded_update(bottleneck, statistics, ok, wait=guard.waits_for_nothing)
            after_step()
            log.step(out.terms, {"gradient_norm": norm}, statistics)
            if between.is_over(done, stop, clock):
                return
