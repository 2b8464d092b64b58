"""The order of a step, on a model of one weight."""

import os
import signal

import pytest
import torch

from audiovq.bottlenecks._base import Bottleneck, Statistics
from audiovq.data.loader import Batch
from audiovq.errors import NonFiniteError
from audiovq.train.log import Log, LogConfig
from audiovq.train.loop import IntervalConfig, StepOutput, fit
from audiovq.train.optim import OptimConfig, Optimizer
from audiovq.train.signals import Interrupted
from audiovq.train.trackers.lines import read_log


class Counting(Bottleneck):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(1))

    def forward(self, z, context=None): ...

    def update(self, statistics):
        self.total += statistics.sums["count"]

    def describe(self, statistics):
        return {"seen": float(statistics.sums["count"])}


class Run:
    """A run whose parts note what they were asked, in order."""

    def __init__(self, folder, *, poison=0, micro=1, signal_in_validation=0):
        torch.manual_seed(0)
        self.model, self.bottleneck = torch.nn.Linear(3, 2), Counting()
        self.optimizer = Optimizer([self.model], OptimConfig(lr=0.1, warmup_steps=0))
        self.folder, self.events = folder, []
        self.poison, self.micro, self.signal_at = poison, micro, signal_in_validation

    def batches(self, step):
        while True:
            step += 1
            x = torch.randn(4, 1, 3, generator=torch.Generator().manual_seed(step))
            if step == self.poison:
                x[0, 0, 0] = torch.nan
            yield Batch(
                x=x, x_input=x, lengths=torch.full((4,), 3), keys=torch.full((4,), step),
                ids=("a",) * 4, speakers=(None,) * 4, step_lengths=torch.full((4,), 3),
            )  # fmt: skip

    def step(self, batch):
        """Any number of micro-batches: loss, gradient and statistics add up to the whole's."""
        self.events.append(("step", int(batch.keys[0])))
        size = len(batch.step_lengths)
        loss = self.model(batch.x[:, 0]).square().sum() / size
        return StepOutput(
            loss=loss,
            terms={"rec": loss.detach()},
            statistics=Statistics(sums={"count": torch.full((1,), len(batch.x) / size)}),
            checks={"the input": batch.x, "the loss": loss},
        )

    def validate(self, at):
        self.events.append(("validate", at))
        if at == self.signal_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return {"validation/rec": float(at)}

    def fit(self, start=0, max_steps=6, validate_every=3, save_every=2, every=1):
        log = Log(self.folder, LogConfig(progress=False, every=every), start, max_steps)
        fit(
            start=start,
            intervals=IntervalConfig(
                max_steps=max_steps, validate_every=validate_every, micro_batches=self.micro
            ),
            save_every=save_every,
            batches=self.batches,
            step=self.step,
            network=self.model,
            bottleneck=self.bottleneck,
            optimizer=self.optimizer,
            validate=self.validate,
            save=lambda at: self.events.append(("save", at)),
            log=log,
        )
        return read_log(log.path)


def test_steps_validations_and_saves_come_in_order(tmp_path):
    run = Run(tmp_path)
    log = run.fit(max_steps=5)
    assert run.events == [
        ("step", 1), ("step", 2), ("save", 2), ("step", 3), ("validate", 3), ("step", 4),
        ("save", 4), ("step", 5), ("validate", 5), ("save", 5),
    ]  # fmt: skip
    assert [(e["step"], "validation/rec" in e) for e in log] == [
        (1, False), (2, False), (3, False), (3, True), (4, False), (5, False), (5, True),
    ]  # fmt: skip
    assert float(run.bottleneck.total) == 5


def test_a_window_is_described_once_from_its_sums(tmp_path):
    log = Run(tmp_path).fit(max_steps=4, every=4, save_every=4, validate_every=9)
    assert log[0]["train/seen"] == 4.0


def test_nothing_is_done_when_all_steps_are(tmp_path):
    run = Run(tmp_path)
    assert run.fit(start=6) == []
    assert run.events == []


def test_micro_batches_are_a_matter_of_the_step_alone(tmp_path):
    whole, parts = Run(tmp_path), Run(tmp_path, micro=4)
    logs = [run.fit() for run in (whole, parts)]
    torch.testing.assert_close(whole.model.weight, parts.model.weight)
    for a, b in zip(*logs, strict=True):
        for entry in (a, b):
            entry.pop("train/seconds_per_step", None)  # wall clock
        assert a == pytest.approx(b, rel=1e-5)


def test_a_signal_during_validation_loses_no_step(tmp_path):
    """It comes after the loop has decided what this step still does, so the next is the last."""
    run = Run(tmp_path, signal_in_validation=3)
    with pytest.raises(Interrupted, match="SIGTERM at step 4; all is saved") as stopped:
        run.fit(save_every=100)
    assert run.events[-1] == ("save", 4)
    assert stopped.value.exit_code == 143


def test_signals_are_as_before_afterwards(tmp_path):
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    Run(tmp_path).fit(max_steps=1)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize("at", [1, 2, 4])
def test_a_step_that_is_not_finite_changes_and_saves_nothing(tmp_path, at):
    run, clean = Run(tmp_path, poison=at), Run(tmp_path)
    with pytest.raises(NonFiniteError, match=f"in the input at step {at};"):
        run.fit(save_every=1)
    clean.fit(max_steps=at - 1, save_every=1)
    assert torch.equal(run.model.weight, clean.model.weight)
    assert torch.equal(run.bottleneck.total, clean.bottleneck.total)
    assert [e for e in run.events if e[0] == "save"] == [("save", s) for s in range(1, at)]
