"""Train a prior on the codes of a corpus, as `audiovq extract` writes them.

    audiovq train-prior wavenet codes=units run.dir=runs/prior

The same command on the same folder continues the run. The model that made the codes is not needed.
On several GPUs, or processes:

    torchrun --standalone --nproc_per_node=2 -m audiovq train-prior wavenet codes=units ...
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from audiovq import config as configs
from audiovq import distributed
from audiovq import prior as priors
from audiovq.__main__ import run_recipe
from audiovq.distributed import DistributedConfig
from audiovq.errors import ConfigError
from audiovq.eval import prior_page, prior_summary
from audiovq.eval.prior_likelihood import nats
from audiovq.losses.codes import mean_surprise, surprise
from audiovq.prior._base import Condition
from audiovq.prior._part import choose
from audiovq.prior._release import About, TrainedPrior, about_codes
from audiovq.train import run as runs
from audiovq.train.average import WeightAverage
from audiovq.train.best import Best, BestConfig
from audiovq.train.checkpoint import Stateful, Store
from audiovq.train.codes import CodeBatch, CodeLoader, CodesConfig
from audiovq.train.keep import save_model, saving, validating
from audiovq.train.log import Log, LogConfig
from audiovq.train.loop import StepOutput, fit
from audiovq.train.optim import OptimConfig, Optimizer
from audiovq.units.given import about_features, open_folders, read
from audiovq.units.reading import load
from audiovq.units.sequences import CodeSequences


class TrainConfig(runs.TrainingConfig):
    """How long, on what, and how."""

    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of each target that goes to all codes alike"
    )
    condition: Literal["none", "speaker"] = Field(
        "none", description="what the prior is told besides the codes before"
    )
    streams: tuple[str, ...] = Field(
        (), max_length=256, description="streams of the codes to model, e.g. [fast]; []: all"
    )
    given_streams: tuple[str, ...] = Field(
        (), max_length=256, description="other streams of them to be given, e.g. [slow]"
    )
    given_codes: str = Field(
        "", description="folder of other codes of the same utterances to be given"
    )
    given_features: str = Field(
        "", description="folder of units of the same utterances whose vectors are to be given"
    )
    validation_utterances: int = Field(500, ge=1, description="utterances used, spread over all")


class PriorBestConfig(BestConfig):
    """What the best prior is."""

    metric: str = Field(
        "validation/bits_per_code",
        description="the lowest wins; kept as best/ in run.dir; empty: none is",
    )


class Config(configs.Config):
    """Everything that decides a run, and a few things that do not."""

    recipe: Literal["train_prior"] = Field("train_prior", description="this file")
    codes: str = Field("", description="folder of codes (made by `audiovq extract`)")
    run: runs.RunConfig = Field(runs.RunConfig(), description="where the run lives")
    prior: configs.component("priors") = Field(  # type: ignore[valid-type]
        "wavenet", validate_default=True, description="the prior: a name, and its settings"
    )
    data: CodesConfig = Field(CodesConfig(), description="how codes are cut and put together")
    optim: OptimConfig = Field(OptimConfig(), description="how it moves")
    train: TrainConfig = Field(TrainConfig(), description="how long, on what")
    best: PriorBestConfig = Field(
        PriorBestConfig(), description="which prior is best, and early stopping"
    )
    checkpoint: runs.CheckpointConfig = Field(runs.CheckpointConfig(), description="what is kept")
    log: LogConfig = Field(LogConfig(), description="what it tells")
    distributed: DistributedConfig = Field(
        DistributedConfig(), description="how processes wait for each other"
    )


def main(config: Config) -> None:
    """Train, or go on training, in `run.dir`; as one of several processes under torchrun."""
    with distributed.launch(config.distributed):
        sequences, held_out = read_codes(config)
        folder = runs.open_folder(config)
        with runs.alone_in(folder):
            train(config, sequences, held_out, folder)
        main_process = distributed.is_main()
    if main_process:  # the others need not wait for it
        write_report(config, sequences, held_out)


def read_codes(config: Config) -> tuple[CodeSequences, CodeSequences]:
    """Return the utterances to train on, and those of held-out speakers to validate on."""
    if not config.codes:
        raise ConfigError("codes is missing: make a folder with `audiovq extract`, name it here")
    with distributed.main_first():
        units, t = load(config.codes), config.train
        m, folders = units.metadata, open_folders(t.given_codes, t.given_features)
        part = choose(m.layout, m.codebook_sizes, t.streams, t.given_streams)
        train, held_out = (read(units, s, part, folders) for s in ("train", "validation"))
        return train, held_out


def train(config: Config, sequences: CodeSequences, held_out: CodeSequences, folder: Path) -> None:
    """Train in a folder that is this run's alone."""
    device = runs.pick_device(config.train.device)
    trained = build(config, sequences, device)
    prior = trained.module
    validation = held_out.spread(config.train.validation_utterances)
    both = sequences.fingerprint() + held_out.fingerprint()
    corpus = runs.Identity(both, "the codes")
    if not any(p.requires_grad for p in prior.parameters()):
        count(config, trained, sequences, validation, folder, corpus=corpus)
        return

    optimizer = Optimizer([prior], config.optim)
    best = Best(config.best)
    average = WeightAverage(prior, config.train.average)
    parts: dict[str, Stateful] = {"prior": prior, "optimizer": optimizer, "corpus": corpus}
    parts |= {"best": best, "average": average}
    store = Store(folder / "checkpoints", config.checkpoint.keep)
    start = store.resume(parts)
    runs.store_config(folder, config)

    labels = trained.label_index(sequences.speakers).tolist()
    loader = CodeLoader(sequences, config.data, config.train.seed, labels)
    runs.refuse_empty_parts(config.data.batch_size, config.train.micro_batches)
    batches = partial(loader.batches, part=distributed.part())

    network = distributed.wrap(torch.compile(prior) if config.train.compile else prior, device)
    step = make_step(network, trained, config.train, device)
    distributed.settle(network, lambda: step(next(batches(0))).loss)
    save = saving(trained, prior, folder, store, parts)

    def averaged() -> TrainedPrior:
        return replace(trained, module=average.copied())

    with Log(
        folder, config.log, start, config.train.max_steps, config.model_dump(mode="json")
    ) as log:
        if start >= config.train.max_steps or best.given_up:
            save(start)  # nothing to train, but a prior to use
            return
        fit(
            start=start,
            intervals=config.train,
            save_every=config.checkpoint.every,
            batches=batches,
            step=step,
            network=network,
            optimizer=optimizer,
            validate=validating(
                trained,
                averaged if average.active else None,
                make_measure(validation),
                best,
                folder,
            ),
            save=save,
            log=log,
            after_step=average.update,
            given_up=lambda: best.given_up,
        )


def build(config: Config, sequences: CodeSequences, device: torch.device) -> TrainedPrior:
    """Return the prior with its first weights, and what it is to be trained on."""
    names: tuple[str, ...] = ()
    if config.train.condition == "speaker":
        names = tuple(sorted({s for s in sequences.speakers if s is not None}))
        if not names:
            raise ConfigError(
                f"train.condition=speaker: no utterance of {config.codes} names its speaker; use "
                f"train.condition=none"
            )
    about = describe(config, sequences, names)
    torch.manual_seed(config.train.seed)  # decides the initial weights, and nothing after them
    trained = TrainedPrior.build(about)
    trained.module.to(device)
    return trained


def describe(config: Config, sequences: CodeSequences, labels: tuple[str, ...]) -> About:
    """Return what a prior is, of which codes, and what it is given."""
    t, whole = config.train, load(config.codes).metadata
    folders = open_folders(t.given_codes, t.given_features)
    about = About(
        prior=config.prior,
        codes=about_codes(sequences.metadata),
        labels=labels,
        counts=tuple(tuple(row.tolist()) for row in sequences.counts()),
        part=choose(whole.layout, whole.codebook_sizes, t.streams, t.given_streams),
        given_codes=None if folders.codes is None else about_codes(folders.codes.metadata),
        given_features=None if folders.features is None else about_features(folders.features),
    )
    prior: Any = config.prior
    given = {
        "condition_codes": about.condition_codes,
        "condition_features": about.condition_features,
    }
    if not hasattr(prior, "condition_codes"):
        if t.given_streams or t.given_codes or t.given_features:
            raise ConfigError(
                f"prior.name={prior.name} cannot be given anything: leave train.given_* out, or "
                f"use another prior"
            )
        return about
    for name, value in given.items():
        if getattr(prior, name) and getattr(prior, name) != value:
            raise ConfigError(
                f"prior.{name}={getattr(prior, name)}: leave it out; it follows from what "
                f"train.given_* names, and is {value}"
            )
    return about.model_copy(update={"prior": prior.model_copy(update=given)})


def count(
    config: Config,
    trained: TrainedPrior,
    sequences: CodeSequences,
    validation: CodeSequences,
    folder: Path,
    *,
    corpus: Stateful,
) -> None:
    """Fit a prior that has no weights to train: it counts, in one pass, and again if told again.

    Its checkpoint holds no counts, only what other codes and settings are refused by.
    """
    store, parts = Store(folder / "checkpoints", config.checkpoint.keep), {"corpus": corpus}
    store.resume(parts)
    labels = trained.label_index(sequences.speakers).tolist()
    counted: Any = trained.module
    counted.fit([(c.long(), label) for c, label in zip(sequences.codes, labels, strict=True)])
    runs.store_config(folder, config)
    figures = make_measure(validation)(trained, 0, "validation")
    if distributed.is_main():
        (folder / "log.jsonl").unlink(missing_ok=True)  # it has one line, of this very pass
    with Log(folder, config.log.model_copy(update={"progress": False}), 0, 0) as log:
        log.write(0, figures)
    save_model(trained, folder / "model")
    if distributed.is_main():
        store.save(0, parts)


def make_step(
    network: nn.Module, trained: TrainedPrior, config: TrainConfig, device: torch.device
) -> Callable[[CodeBatch], StepOutput]:
    """Return the function from a batch to its share of the step's loss, in nats per code.

    `network` is the prior, or what several processes have around it.
    """
    prior, bf16 = trained.module, config.precision == "bf16"
    sizes = torch.tensor(prior.codebook_sizes, device=device).unsqueeze(1)
    known = torch.arange(max(prior.codebook_sizes), device=device) < sizes

    def step(batch: CodeBatch) -> StepOutput:
        total = batch.step_lengths.sum() * prior.num_codebooks
        codes, lengths, keys, labels = (
            t.to(device) for t in (batch.codes, batch.lengths, batch.keys, batch.labels)
        )
        given, features = (
            None if t is None else t.to(device) for t in (batch.given, batch.features)
        )
        told = Condition(
            label=labels if prior.labels else None, codes=given, features=features, keys=keys
        )
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = network(codes, lengths, told)
        inside = torch.arange(codes.shape[-1], device=device) < lengths.view(-1, 1, 1)
        loss = hit = torch.where(inside, surprise(logits, codes), 0.0)
        if config.label_smoothing:
            spread = torch.where(inside, mean_surprise(logits, known), 0.0)
            loss = hit + config.label_smoothing * (spread - hit)
        bits = hit.detach().sum() / (total * math.log(2))
        return StepOutput(
            loss=loss.sum() / total,
            terms={"bits_per_code": bits},
            checks={"the log-probabilities": loss},
        )

    return step


def make_measure(
    held_out: CodeSequences,
) -> Callable[[TrainedPrior, int, str], dict[str, float]]:
    """Return the function that scores held-out speakers."""
    codes = int(held_out.frames.sum()) * len(held_out.metadata.codebook_sizes)
    seconds = float(held_out.seconds.sum())
    counts = held_out.counts()

    def measure(trained: TrainedPrior, _at: int, prefix: str) -> dict[str, float]:
        training = trained.module.training
        trained.module.eval()
        mine = nats(trained, held_out, distributed.part())
        trained.module.train(training)
        bits = float(np.sum(distributed.gather_objects(mine), axis=0).sum()) / math.log(2)
        pairs = zip(counts, trained.unigram(), strict=True)
        unigram = sum(float(-(torch.from_numpy(c) * p.log2()).sum()) for c, p in pairs)
        return {
            f"{prefix}/bits_per_code": bits / codes,
            f"{prefix}/bits_per_second": bits / seconds,
            f"{prefix}/unigram_bits_per_code": unigram / codes,
        }

    return measure


def write_report(config: Config, learned: CodeSequences, held_out: CodeSequences) -> None:
    """Score held-out speakers with the best prior, and write the run's page."""
    folder = Path(config.run.dir)
    best = folder / "best"
    name = config.prior.name
    trained = priors.load(best if best.is_dir() else folder, [name] if "." in name else [])
    trained.module.to(runs.pick_device(config.train.device))
    chosen = held_out.spread(config.train.validation_utterances)
    summary = prior_summary.summarise(trained, learned, chosen, config.codes)
    prior_summary.write(folder / prior_summary.FILE, summary)
    prior_page.write_run(folder, config.run.dir)


if __name__ == "__main__":
    run_recipe(Config, main)
