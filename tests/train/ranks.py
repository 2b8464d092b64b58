"""Run by torchrun from test_ranks.py: every bottleneck on several ranks and on one, step by step.

Prints one JSON line per bottleneck on rank 0: the largest relative difference from the joined
batch, after every step, and whether all ranks held the same bits after every step.
"""

import json
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import torch

from audiovq import distributed, registry
from audiovq.data.loader import Batch
from audiovq.train.log import Log, LogConfig
from audiovq.train.loop import IntervalConfig, StepOutput, fit
from audiovq.train.optim import OptimConfig, Optimizer
from audiovq.train.run import refuse_divergence
from tests.bottlenecks.test_family import model_of

STEPS, ITEMS, SIZE = 12, 5, 640


def batches(step):
    """Items of unequal lengths; every fourth step nearly all of them are empty."""
    while True:
        generator = torch.Generator().manual_seed(step)
        lengths = torch.randint(40, SIZE + 1, (ITEMS,), generator=generator)
        if step % 4 == 3:
            lengths[1:] = 0
        x = torch.randn(ITEMS, 1, SIZE, generator=generator, dtype=torch.float64).cumsum(-1) / 30
        x = torch.where(torch.arange(SIZE) < lengths.view(-1, 1, 1), x, 0.0)
        keys = torch.arange(ITEMS) + step * ITEMS
        yield Batch(
            x=x, x_input=x, lengths=lengths, keys=keys, ids=("",) * ITEMS,
            speakers=(None,) * ITEMS, step_lengths=lengths,
        )  # fmt: skip
        step += 1


def train(name, network, model, folder, micro=1):
    """Train a model; returns its state after every step."""
    optimizer, states = Optimizer([model], OptimConfig(lr=1e-3, warmup_steps=0)), []
    rank, ranks = distributed.part()

    def step(batch):
        out = network(batch.x, batch.lengths, batch.keys)
        samples = batch.step_lengths.sum()
        frames = model.frames(batch.step_lengths).sum() * model.bottleneck.stride
        terms = {
            "mse": (out.x_hat - batch.x).square().sum() / samples,
            "bottleneck": out.bottleneck.loss.sum() / frames,
        }
        return StepOutput(
            loss=sum(terms.values()),
            terms={k: v.detach() for k, v in terms.items()},
            statistics=out.bottleneck.statistics,
            checks={"x_hat": out.x_hat},
        )

    def save(at):
        refuse_divergence(model, at)
        states.append({k: v.clone() for k, v in model.state_dict().items()})

    fit(
        start=0,
        intervals=IntervalConfig(max_steps=STEPS, validate_every=99, micro_batches=micro),
        save_every=1,
        batches=lambda at: (b.split(ranks)[rank] for b in batches(at)),
        step=step,
        network=network,
        bottleneck=model.bottleneck,
        optimizer=optimizer,
        validate=lambda _: {},
        save=save,
        log=Log(folder, LogConfig(progress=False, every=4), 0, STEPS),
    )
    return states


@contextmanager
def on_its_own():
    """As if this process were the only one."""
    world, distributed._world = distributed._world, None
    try:
        yield
    finally:
        distributed._world = world


def difference(one, two):
    """Return the largest difference of two states, relative to each tensor's largest value."""
    found = 0.0
    for key, value in one.items():
        scale = value.abs().max().clamp_min(1e-3)
        found = max(found, float((value - two[key]).abs().max() / scale))
    return found


def main():
    folder = Path(tempfile.mkdtemp())
    (folder / "many").mkdir()
    for name in sys.argv[1:] or registry.names("bottlenecks"):
        known = registry.get("bottlenecks", name).config.model_fields
        settings = {"revive_every": 3} if "revive_every" in known else {}
        together = model_of(name, **settings).double().train()
        network = distributed.wrap(together, torch.device("cpu"))
        many = train(name, network, together, folder / "many")
        with on_its_own():
            (folder / "one").mkdir(exist_ok=True)
            alone = model_of(name, **settings).double().train()
            one = train(name, alone, alone, folder / "one")
        each = [difference(a, b) for a, b in zip(one, many, strict=True)]
        if distributed.is_main():
            print(json.dumps({"name": name, "difference": max(each)}), flush=True)


if __name__ == "__main__":
    with distributed.launch(distributed.DistributedConfig(start_timeout=60, step_timeout=60)):
        main()
