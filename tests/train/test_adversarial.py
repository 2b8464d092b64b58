"""The order of a step with discriminators, on two sides of one weight matrix each."""

import pytest
import torch

from audiovq.data.loader import Batch
from audiovq.errors import NonFiniteError
from audiovq.losses.balancer import Balancer
from audiovq.train.adversarial import fit_adversarial
from audiovq.train.judge import AdversarialConfig
from audiovq.train.log import Log, LogConfig
from audiovq.train.loop import IntervalConfig, StepOutput
from audiovq.train.optim import OptimConfig, Optimizer
from audiovq.train.trackers.lines import read_log
from tests.train.test_loop import Counting


class Run:
    """A run whose parts note what they were asked, in order."""

    def __init__(self, folder, *, spoil="", at=0, micro=1):
        torch.manual_seed(0)
        self.model, self.rival = torch.nn.Linear(3, 1), torch.nn.Linear(1, 1)
        self.bottleneck, self.balancer = Counting(), Balancer({"adversarial": 1.0}, 0.9)
        self.folder, self.spoil, self.at, self.micro = folder, spoil, at, micro
        self.events = []

    def batches(self, step):
        while True:
            step += 1
            x = torch.randn(4, 1, 3, generator=torch.Generator().manual_seed(step))
            yield Batch(
                x=x, x_input=x, lengths=torch.full((4,), 3), keys=torch.full((4,), step),
                ids=("a",) * 4, speakers=(None,) * 4, step_lengths=torch.full((4,), 3),
            )  # fmt: skip

    def step(self, phase, batch):
        at, size = int(batch.keys[0]), len(batch.step_lengths)
        self.events.append((at, phase.judged, phase.learns))
        y = self.model(batch.x[:, 0])
        bad = {name: torch.nan if (name, at) == (self.spoil, self.at) else 1.0 for name in "gd"}
        loss = bad["g"] * y.square().sum() / size
        if not phase.judged:
            return StepOutput(loss=loss, terms={})
        rival = bad["d"] * (self.rival(y.detach()) - 1.0).square().sum() / size
        return StepOutput(
            loss=loss,
            terms={"discriminator": rival},
            rival_loss=rival if phase.learns else None,
            squares={"reference": torch.tensor(1.0), "adversarial": torch.tensor(4.0)},
        )

    def fit(self, max_steps=6, **config):
        log = Log(self.folder, LogConfig(progress=False, every=1), 0, max_steps)
        fit_adversarial(
            start=0,
            config=AdversarialConfig(**{"start": 2, "every": 2, **config}),
            intervals=IntervalConfig(
                max_steps=max_steps, validate_every=99, micro_batches=self.micro
            ),
            save_every=99,
            batches=self.batches,
            step=self.step,
            network=self.model,
            discriminators=self.rival,
            optimizer=Optimizer([self.model], OptimConfig(lr=0.1, warmup_steps=0)),
            rival_optimizer=Optimizer([self.rival], OptimConfig(lr=0.1, warmup_steps=4)),
            balancer=self.balancer,
            bottleneck=self.bottleneck,
            validate=lambda _: {},
            save=lambda at: self.events.append(("save", at)),
            log=log,
        )
        return read_log(log.path)

    def state(self):
        weights = [*self.model.parameters(), *self.rival.parameters()]
        return torch.cat([p.detach().flatten() for p in weights] + [self.balancer.means])


def test_judged_from_start_on_learning_in_every_second_step(tmp_path):
    run = Run(tmp_path)
    log = run.fit()
    assert run.events == [
        (1, False, False), (2, False, False), (3, True, True), (4, True, False), (5, True, True),
        (6, True, False), ("save", 6),
    ]  # fmt: skip
    rates = [e.get("discriminator_lr") for e in log if "lr" in e]
    assert rates[:2] == [None, None]
    assert rates[2:] == pytest.approx([0.025, 0.05, 0.05, 0.075])  # its warm-up begins there, too
    norms = ["train/discriminator_gradient_norm" in e for e in log if "lr" in e]
    assert norms == [False, False, True, False, True, False]


def test_the_balancer_hears_of_the_whole_step_in_judged_steps_only(tmp_path):
    one, parts = Run(tmp_path), Run(tmp_path, micro=4)
    one.fit()
    parts.fit()
    # four micro-batches add four squares: twice the norm
    torch.testing.assert_close(parts.balancer.means, 2.0 * one.balancer.means)
    assert float(one.balancer.seen) == pytest.approx(1.0 - 0.9**4)


@pytest.mark.parametrize("side", ["g", "d"])
def test_where_either_side_is_not_finite_neither_changes(tmp_path, side):
    run, clean = Run(tmp_path, spoil=side, at=5), Run(tmp_path)
    named = {"g": "the gradient of ", "d": "the gradient of discriminators."}[side]
    with pytest.raises(NonFiniteError, match=f"{named}(bias|weight).* at step 5;"):
        run.fit()
    clean.fit(max_steps=4)
    assert torch.equal(run.state(), clean.state())
