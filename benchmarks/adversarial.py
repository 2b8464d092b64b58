"""What discriminators cost: their share of a training step, by width, on one thread.

    python benchmarks/adversarial.py [CONFIG] [--rounds 5] [--seconds 1.0] [--batch 4] [--save]

CONFIG (adversarial/rvq) says what the autoencoder and the discriminators are; every discriminator's
width is set to each of 1, 1/4 and 1/8 in turn. A step is forward, backward and update of both sides
in one batch of made-up speech; the plain step is that of the same autoencoder without them.
"""

import argparse

import torch
from _common import finish, interleaved

from audiovq import config as configs
from audiovq import share
from audiovq.autoencoder import Autoencoder
from audiovq.data.loader import Batch
from audiovq.discriminators._all import Discriminators
from audiovq.losses.balancer import Balancer
from audiovq.train.judge import Phase
from audiovq.train.optim import Optimizer
from audiovq.train.step import forward_and_backward

WIDTHS = {"1": 1.0, "1/4": 0.25, "1/8": 0.125}
CPU, OK = torch.device("cpu"), torch.tensor(True)
PLAIN = Phase(judged=False, learns=False, number=0)
FROZEN = Phase(judged=True, learns=False, number=0)
LEARNS = Phase(judged=True, learns=True, number=0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("config", nargs="?", default="adversarial/rvq")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    recipe = share.load_recipe("train_adversarial")
    cfg = configs.parse(recipe.Config, configs.read_yaml(share.config_path(given.config)))
    batch = noise(given.batch, round(given.seconds * cfg.model.sample_rate))
    steps, sizes = {}, {}
    for label, width in WIDTHS.items():
        narrowed = [d.model_copy(update={"width": width}) for d in cfg.discriminators]
        step, sizes[label] = make(recipe, cfg.model_copy(update={"discriminators": narrowed}))
        steps[label] = step
    functions = {"plain": lambda: steps["1"](PLAIN, batch)}
    for label, step in steps.items():
        functions[f"width {label}"] = lambda step=step: step(LEARNS, batch)
        functions[f"width {label}, not learning"] = lambda step=step: step(FROZEN, batch)
    seconds = interleaved(functions, given.rounds)
    table = [["width", "parameters", "step, ms", "discriminators' share", "over the plain step"]]
    plain = seconds["plain"]
    table.append(["none", "0", f"{1e3 * plain:.0f}", "0 %", "1.0x"])
    for label, count in sizes.items():
        for more in ("", ", not learning"):
            s = seconds[f"width {label}{more}"]
            share_ = f"{100 * (1 - plain / s):.0f} %"
            row = [label + more, f"{count:,}", f"{1e3 * s:.0f}", share_, f"{s / plain:.1f}x"]
            table.append(row)
    about = {"config": given.config, "batch": given.batch, "segment_seconds": given.seconds}
    finish("adversarial", {**about, "parameters": sizes, "seconds": seconds}, table)


def noise(items: int, size: int) -> Batch:
    x = 0.05 * torch.randn(items, 1, size, generator=torch.Generator().manual_seed(0)).cumsum(-1)
    x = (x - x.mean(-1, keepdim=True)).clamp(-1, 1)
    lengths = torch.full((items,), size)
    return Batch(
        x=x, x_input=x, lengths=lengths, keys=torch.arange(items), ids=("",) * items,
        speakers=(None,) * items, step_lengths=lengths,
    )  # fmt: skip


def make(recipe, cfg):
    """Return a step of both sides, and the size of the discriminators."""
    torch.manual_seed(0)
    model, discriminators = Autoencoder(cfg.model).train(), Discriminators(cfg.discriminators)
    optimizers = [Optimizer([m], cfg.optim) for m in (model, discriminators)]
    terms = cfg.adversarial
    balancer = Balancer(terms.weights, terms.balancer_decay, CPU) if terms.balancer else None
    forward = recipe.make_step(
        cfg, network=model, model=model, rivals=discriminators, discriminators=discriminators,
        balancer=balancer, device=CPU,
    )  # fmt: skip

    def step(phase: Phase, batch: Batch) -> None:
        for optimizer in optimizers:
            optimizer.zero_grad()
        out = forward_and_backward([batch], lambda part: forward(phase, part), (model,))
        for optimizer in optimizers[: 2 if phase.learns else 1]:
            optimizer.clip()
            optimizer.step(0, OK)
        model.bottleneck.update(out.statistics)

    return step, sum(p.numel() for p in discriminators.parameters())


if __name__ == "__main__":
    main()
