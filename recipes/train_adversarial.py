"""Train an autoencoder against discriminators, on a corpus of speech.

    audiovq train adversarial/rvq data.manifest=speech.jsonl run.dir=runs/rvq

The autoencoder, its data and its losses are those of `train_autoencoder`, and so is every step
until `adversarial.start`; from then on discriminators learn to tell its reconstructions from
originals, and it learns to pass. The same command on the same folder continues the run. On several
GPUs, or processes:

    torchrun --standalone --nproc_per_node=2 -m audiovq train adversarial/rvq ...
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn

from audiovq import config as configs
from audiovq import distributed, report
from audiovq.__main__ import run_recipe
from audiovq.autoencoder import Autoencoder
from audiovq.data import manifest as manifests
from audiovq.data.loader import Batch
from audiovq.discriminators._all import Discriminators
from audiovq.discriminators._release import Judged, copy_weights
from audiovq.losses.balancer import Balancer
from audiovq.train import page as pages
from audiovq.train import run as runs
from audiovq.train.adversarial import fit_adversarial
from audiovq.train.autoencoding import (
    AutoencodingConfig,
    around,
    begin,
    make_batches,
    make_forward,
    make_validate,
)
from audiovq.train.average import WeightAverage
from audiovq.train.best import Best
from audiovq.train.checkpoint import Stateful, Store
from audiovq.train.judge import AdversarialConfig, Phase, judge
from audiovq.train.keep import saving, validating
from audiovq.train.log import Log
from audiovq.train.optim import OptimConfig, Optimizer
from audiovq.train.speakers import name_speakers
from audiovq.train.step import StepOutput


class RivalOptimConfig(OptimConfig):
    """How discriminators move; their schedule begins where they do."""

    lr: float = Field(5e-4, gt=0, description="learning rate after warm-up")
    clip_norm: float = Field(10.0, gt=0, description="largest norm of the whole gradient")


class Config(AutoencodingConfig):
    """Everything that decides a run, and a few things that do not."""

    recipe: Literal["train_adversarial"] = Field("train_adversarial", description="this file")
    discriminators: tuple[configs.component("discriminators"), ...] = Field(  # type: ignore[valid-type]
        ("multi_period", "multi_resolution"),
        validate_default=True,
        min_length=1,
        description="who judges: each a name, and its settings",
    )
    adversarial: AdversarialConfig = Field(
        AdversarialConfig(), description="what they add to the loss, and when"
    )
    discriminator_optim: RivalOptimConfig = Field(RivalOptimConfig(), description="how they move")


def main(config: Config) -> None:
    """Train, or go on training, in `run.dir`; as one of several processes under torchrun."""
    with distributed.launch(config.distributed):
        manifest = runs.read_corpus(config.data.manifest)
        named = name_speakers(config.model, manifest)
        config = config.model_copy(update={"model": named})
        folder = runs.open_folder(config)
        with runs.alone_in(folder):
            train(config, manifest, folder)
        pages.write_report(folder, config.run.dir, add_curves)


def train(config: Config, manifest: manifests.Manifest, folder: Path) -> None:
    """Train in a folder that is this run's alone."""
    device = runs.pick_device(config.train.device)

    torch.manual_seed(config.train.seed)  # decides the initial weights, and nothing after them
    model = Autoencoder(config.model).to(device)
    discriminators = Discriminators(config.discriminators).to(device)
    optimizer = Optimizer([model], config.optim)
    rival_optimizer = Optimizer([discriminators], config.discriminator_optim)
    settings = config.adversarial
    balancer = Balancer(settings.weights, settings.balancer_decay, device)
    best = Best(config.best)
    average = WeightAverage(model, config.train.average)
    corpus = runs.identity(manifest, config.data, model.sample_rate)
    parts: dict[str, Stateful] = {"model": model, "optimizer": optimizer, "corpus": corpus}
    parts |= {"discriminators": discriminators, "discriminator_optimizer": rival_optimizer}
    parts |= {"best": best, "average": average, "balancer": balancer}
    store = Store(folder / "checkpoints", config.checkpoint.keep)
    start = store.resume(parts)
    runs.store_config(folder, config)

    batches, some_batches = make_batches(manifest, config)
    if start == 0:
        say = partial(print, file=sys.stderr)
        begin(model, config.train, some_batches(), device, say)
        begin_discriminators(discriminators, config.train.init_from, say)
        average.reset()
    network = around(model, config.train, device)
    rivals = distributed.wrap(discriminators, device)
    scaling = balancer if settings.balancer else None
    step = make_step(
        config,
        network=network,
        model=model,
        rivals=rivals,
        discriminators=discriminators,
        balancer=scaling,
        device=device,
    )
    settle(network, rivals, step, lambda: next(some_batches()))
    averaged = partial(average.model, some_batches, device) if average.active else None
    both = nn.ModuleList([model, discriminators])
    save = saving(Judged(model, discriminators), both, folder, store, parts)

    with Log(
        folder, config.log, start, config.train.max_steps, config.model_dump(mode="json")
    ) as log:
        measure = make_validate(manifest, config, device, log)
        if start >= config.train.max_steps or best.given_up:
            save(start)  # nothing to train, but a model to use
            return
        fit_adversarial(
            start=start,
            config=settings,
            intervals=config.train,
            save_every=config.checkpoint.every,
            batches=batches,
            step=step,
            network=network,
            discriminators=rivals,
            optimizer=optimizer,
            rival_optimizer=rival_optimizer,
            balancer=scaling,
            bottleneck=model.bottleneck,
            validate=validating(model, averaged, measure, best, folder),
            save=save,
            log=log,
            after_step=average.update,
            given_up=lambda: best.given_up,
        )


def begin_discriminators(
    discriminators: Discriminators, init_from: str, say: Callable[[str], None]
) -> None:
    """Go on with another run's discriminators, if `train.init_from` has any that fit."""
    if not init_from:
        return
    copied, missing = copy_weights(discriminators, init_from)
    if missing and distributed.is_main():
        say(f"{init_from}: {copied} tensors of discriminators fit, {missing} start from scratch")


def make_step(
    config: Config,
    *,
    network: nn.Module,
    model: Autoencoder,
    rivals: nn.Module,
    discriminators: Discriminators,
    balancer: Balancer | None,
    device: torch.device,
) -> Callable[[Phase, Batch], StepOutput]:
    """Return the function from a batch to its share of the step's losses.

    `network` and `rivals` are model and discriminators, or what several processes have around them.
    """
    forward = make_forward(network, model, config, device)

    def step(phase: Phase, batch: Batch) -> StepOutput:
        batch = batch.repeated(config.train.monte_carlo_samples)
        out = forward(batch)
        if not phase.judged:
            return out
        x_hat = out.checks["the decoder's output"]
        verdict = judge(
            rivals if phase.learns else discriminators,
            batch.x.to(device),
            x_hat,
            batch.lengths.to(device),
            samples=batch.step_lengths.sum().to(device),
            labels=discriminators.labels,
            config=config.adversarial,
            scales=None if balancer is None else balancer.scales(),
            bf16=config.train.precision == "bf16",
        )
        squares = {}
        if balancer is not None:
            reference = torch.autograd.grad(out.loss, x_hat, retain_graph=True)[0]
            squares = {**verdict.squares, "reference": reference.float().square().sum()}
        return replace(
            out,
            # its gradient at x_hat is that of the reconstruction and the pull; its value is neither
            loss=out.loss + (x_hat.float() * verdict.pull).sum(),
            terms={"loss": out.loss, **out.terms, **verdict.terms},
            checks={**out.checks, **verdict.logits},
            rival_loss=verdict.rival_loss if phase.learns else None,
            squares=squares,
        )

    return step


def settle(
    network: nn.Module,
    rivals: nn.Module,
    step: Callable[[Phase, Batch], StepOutput],
    batch: Callable[[], Batch],
) -> None:
    """Settle both sides' buckets, each by a backward that is thrown away."""
    plain = Phase(judged=False, learns=False, number=0)
    judged = Phase(judged=True, learns=True, number=0)
    distributed.settle(network, lambda: step(plain, batch()).loss)
    distributed.settle(rivals, lambda: step(judged, batch()).rival_loss)


def add_curves(page: report.Page, logs: Mapping[str, list[dict[str, Any]]]) -> None:
    """Add the plain recipe's curves, and those of both sides."""
    pages.add_curves(page, logs)
    page.heading("Discriminators")
    groups = {
        "losses": ("adversarial", "feature", "discriminator"),
        "gradient norms": ("gradient_norm", "discriminator_gradient_norm"),
    }
    keys = {k for entries in logs.values() for e in entries for k in e}
    for side in ("original", "reconstruction"):
        prefix = f"train/accuracy/{side}/"
        groups[f"accuracy on {side}s"] = tuple(
            sorted(k.removeprefix("train/") for k in keys if k.startswith(prefix))
        )
    for title, names in groups.items():
        found = {}
        for run, entries in logs.items():
            for name in names:
                series = report.from_log(entries, f"train/{name}")
                if series[0]:
                    label = name.rpartition("/")[2]
                    found[f"{run}, {label}" if len(logs) > 1 else label] = series
        if found:
            page.figure(report.curves(found, title), f"{title.capitalize()}: means of log windows.")


if __name__ == "__main__":
    run_recipe(Config, main)
