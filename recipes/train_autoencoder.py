"""Train an autoencoder with any bottleneck on a corpus of speech.

    audiovq train autoencoder/vq_ema data.manifest=speech.jsonl run.dir=runs/vq

The same command on the same folder continues the run. On several GPUs, or processes:

    torchrun --standalone --nproc_per_node=2 -m audiovq train autoencoder/vq_ema ...
"""

import sys
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field

from audiovq import distributed
from audiovq.__main__ import run_recipe
from audiovq.autoencoder import Autoencoder
from audiovq.data import manifest as manifests
from audiovq.train import page as pages
from audiovq.train import run as runs
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
from audiovq.train.keep import saving, validating
from audiovq.train.log import Log
from audiovq.train.loop import fit
from audiovq.train.optim import Optimizer
from audiovq.train.speakers import name_speakers


class Config(AutoencodingConfig):
    """Everything that decides a run, and a few things that do not."""

    recipe: Literal["train_autoencoder"] = Field("train_autoencoder", description="this file")


def main(config: Config) -> None:
    """Train, or go on training, in `run.dir`; as one of several processes under torchrun."""
    with distributed.launch(config.distributed):
        manifest = runs.read_corpus(config.data.manifest)
        named = name_speakers(config.model, manifest)
        config = config.model_copy(update={"model": named})
        folder = runs.open_folder(config)
        with runs.alone_in(folder):
            train(config, manifest, folder)
        pages.write_report(folder, config.run.dir)


def train(config: Config, manifest: manifests.Manifest, folder: Path) -> None:
    """Train in a folder that is this run's alone."""
    device = runs.pick_device(config.train.device)

    torch.manual_seed(config.train.seed)  # decides the initial weights, and nothing after them
    model = Autoencoder(config.model).to(device)
    optimizer = Optimizer([model], config.optim)
    best = Best(config.best)
    average = WeightAverage(model, config.train.average)
    corpus = runs.identity(manifest, config.data, model.sample_rate)
    parts: dict[str, Stateful] = {"model": model, "optimizer": optimizer, "corpus": corpus}
    parts |= {"best": best, "average": average}
    store = Store(folder / "checkpoints", config.checkpoint.keep)
    start = store.resume(parts)
    runs.store_config(folder, config)

    batches, some_batches = make_batches(manifest, config)
    if start == 0:
        begin(model, config.train, some_batches(), device, partial(print, file=sys.stderr))
        average.reset()
    network = around(model, config.train, device)
    forward = make_forward(network, model, config, device)
    distributed.settle(network, lambda: forward(next(some_batches())).loss)
    averaged = partial(average.model, some_batches, device) if average.active else None
    save = saving(model, model, folder, store, parts)

    with Log(
        folder, config.log, start, config.train.max_steps, config.model_dump(mode="json")
    ) as log:
        measure = make_validate(manifest, config, device, log)
        if start >= config.train.max_steps or best.given_up:
            save(start)  # nothing to train, but a model to use
            return
        fit(
            start=start,
            intervals=config.train,
            save_every=config.checkpoint.every,
            batches=batches,
            step=lambda batch: forward(batch.repeated(config.train.monte_carlo_samples)),
            network=network,
            bottleneck=model.bottleneck,
            optimizer=optimizer,
            validate=validating(model, averaged, measure, best, folder),
            save=save,
            log=log,
            after_step=average.update,
            given_up=lambda: best.given_up,
        )


if __name__ == "__main__":
    run_recipe(Config, main)
