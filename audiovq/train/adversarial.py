"""The order of a training step with discriminators; all it shares with `loop.py` is elsewhere."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch
from torch import nn

from audiovq import distributed
from audiovq.bottlenecks._base import Bottleneck
from audiovq.losses.balancer import Balancer
from audiovq.train.between import Between, IntervalConfig
from audiovq.train.finite import Guard, guarded_update
from audiovq.train.judge import AdversarialConfig, Phase, phase_of
from audiovq.train.log import Log
from audiovq.train.merge import merge
from audiovq.train.optim import Optimizer, learning_rate
from audiovq.train.signals import Clock, Stop
from audiovq.train.step import BatchT, StepOutput, forward_and_backward


def fit_adversarial(
    *,
    start: int,
    config: AdversarialConfig,
    intervals: IntervalConfig,
    save_every: int,
    batches: Callable[[int], Iterator[BatchT]],
    step: Callable[[Phase, BatchT], StepOutput],
    network: nn.Module,
    discriminators: nn.Module,
    optimizer: Optimizer,
    rival_optimizer: Optimizer,
    balancer: Balancer | None,
    bottleneck: Bottleneck,
    validate: Callable[[int], Mapping[str, float]],
    save: Callable[[int], None],
    log: Log,
    after_step: Callable[[], None] = lambda: None,
    given_up: Callable[[], bool] = lambda: False,
) -> None:
    """Train from step `start` to `max_steps`.

    A step: forward of the autoencoder, then of the discriminators on what came of it; backward of
    both sides, each into its own weights; what all ranks learned put together, one flag whether all
    is finite on either side; both optimizers, balancer, codebook; then `Between` does what is due.
    Until `config.start` steps are done it is the step of `fit`, bit for bit.

    `step` gets what happens in the step, and a micro-batch: in a judged one its `loss` pulls x_hat
    where the discriminators want it, and where they learn its `rival_loss` is theirs. The schedule
    of `rival_optimizer` begins where they do. All else is as in `fit`, errors too.
    """
    guard, clock = Guard(), Clock(intervals.max_hours)

    def rates(done: int) -> dict[str, float]:
        found, phase = {"lr": learning_rate(optimizer.config, done - 1)}, phase_of(config, done)
        if phase.judged:
            found["discriminator_lr"] = learning_rate(rival_optimizer.config, phase.number)
        return found

    between = Between(
        intervals=intervals,
        save_every=save_every,
        guard=guard,
        networks={"": network, "discriminators.": discriminators},
        bottleneck=bottleneck,
        rates=rates,
        validate=validate,
        save=save,
        given_up=given_up,
        log=log,
    )
    with Stop() as stop:
        numbers = range(start + 1, intervals.max_steps + 1)
        for done, batch in zip(numbers, batches(start), strict=False):
            distributed.at_step(done)
            phase = phase_of(config, done)
            optimizer.zero_grad()
            rival_optimizer.zero_grad()
            parts = batch.split(intervals.micro_batches)
            networks = (network, discriminators) if phase.learns else (network,)
            out = forward_and_backward(parts, partial(step, phase), networks)
            statistics = None if out.statistics is None else merge(out.statistics)
            distributed.all_reduce_sum_(list(out.squares.values()))
            norms = {"gradient_norm": optimizer.clip()}
            if phase.learns:
                norms["discriminator_gradient_norm"] = rival_optimizer.clip()
            ok = guard.check(done, out.finite, torch.stack(list(norms.values())).sum())
            optimizer.step(done - 1, ok)
            if phase.learns:
                rival_optimizer.step(phase.number, ok)
            if balancer is not None and phase.judged:
                norms |= {f"scale/{k}": v for k, v in balancer.scales().items()}
                balancer.update(out.squares, ok)
            if statistics is not None:
                guarded_update(bottleneck, statistics, ok, wait=guard.waits_for_nothing)
            after_step()
            log.step(out.terms, norms, statistics)
            if between.is_over(done, stop, clock):
                return
