"""Train an autoencoder with any bottleneck on a corpus of speech.

    audiovq train autoencoder/vq_ema data.manifest=speech.jsonl run.dir=runs/vq

The same command on the same folder continues the run.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from audiovq import config as configs
from audiovq.autoencoder import Autoencoder, AutoencoderConfig
from audiovq.bottlenecks._base import Context, DiscreteBottleneck, Statistics
from audiovq.data import manifest as manifests
from audiovq.data.corruption import Corruption, fixed_key
from audiovq.data.loader import Batch, DataConfig, Loader
from audiovq.errors import ConfigError, NonFiniteError
from audiovq.losses.reconstruction import LossConfig, ReconstructionLoss
from audiovq.train import run as runs
from audiovq.train.checkpoint import Store
from audiovq.train.levels import Levels
from audiovq.train.log import Log, LogConfig
from audiovq.train.loop import IntervalConfig, StepOutput, fit
from audiovq.train.optim import OptimConfig, Optimizer
from audiovq.train.speakers import condition_of, name_speakers


class TrainConfig(IntervalConfig):
    """How long, on what, and how."""

    seed: int = Field(
        0, ge=0, lt=1 << 63, description="decides initial weights, sample order, augmentation"
    )
    device: str = Field("auto", description="cpu, cuda, cuda:1 ...; auto: cuda if there is one")
    precision: Literal["float32", "bf16"] = Field(
        "float32", description="bf16: autocast, for GPUs and CPUs with bf16 units"
    )
    monte_carlo_samples: int = Field(
        1,
        ge=1,
        le=64,
        description="times each segment is passed with draws of its own (VAE samples, jitter, "
        "dropout), their losses averaged; costs as much as that many batches",
    )
    initialise_batches: int = Field(
        16, ge=1, description="batches whose frames the first codebook is clustered from"
    )
    validation_seconds: float = Field(6.0, gt=0, description="seconds used of each utterance (s)")
    validation_utterances: int = Field(32, ge=1, description="utterances used, spread over all")


class Config(configs.Config):
    """Everything that decides a run, and a few things that do not."""

    recipe: Literal["train_autoencoder"] = Field("train_autoencoder", description="this file")
    run: runs.RunConfig = Field(runs.RunConfig(), description="where the run lives")
    model: AutoencoderConfig = Field(AutoencoderConfig(), description="encoder to decoder")
    data: DataConfig = Field(DataConfig(), description="what it learns from")
    loss: LossConfig = Field(LossConfig(), description="what it minimises")
    optim: OptimConfig = Field(OptimConfig(), description="how it moves")
    train: TrainConfig = Field(TrainConfig(), description="how long, on what")
    checkpoint: runs.CheckpointConfig = Field(runs.CheckpointConfig(), description="what is kept")
    log: LogConfig = Field(LogConfig(), description="what it tells")


def main(config: Config) -> None:
    """Train, or go on training, in `run.dir`."""
    if not config.data.manifest:
        raise ConfigError("data.manifest is missing: make one with `audiovq prepare`, name it here")
    manifest = manifests.read(config.data.manifest, check_files=True)
    device = runs.pick_device(config.train.device)
    config = config.model_copy(update={"model": name_speakers(config.model, manifest)})
    folder = runs.open_folder(config)

    torch.manual_seed(config.train.seed)  # decides the initial weights, and nothing after them
    model = Autoencoder(config.model).to(device)
    optimizer = Optimizer([model], config.optim)
    loader = Loader(
        manifest, manifest.select("train"), config.data, model.sample_rate, config.train.seed
    )
    forward = make_forward(model, config, device)

    store = Store(folder / "checkpoints", config.checkpoint.keep)
    corpus = runs.Identity(manifest.fingerprint())
    parts = {"model": model, "optimizer": optimizer, "corpus": corpus}
    start = store.resume(parts)
    runs.store_config(folder, config)
    if start == 0:
        initialise(model, islice(loader.batches(0), config.train.initialise_batches), device)

    log = Log(folder, config.log, start, config.train.max_steps)

    def step(batch: Batch) -> StepOutput:
        batch = batch.repeated(config.train.monte_carlo_samples)
        return forward(batch.x_input, batch.x, batch.lengths, batch.keys, batch.speakers)

    def save(at: int) -> None:
        store.save(at, parts)
        model.save(folder / "model")

    try:
        if start >= config.train.max_steps:  # nothing to train, but a model to use
            save(start)
        fit(
            start=start,
            intervals=config.train,
            save_every=config.checkpoint.every,
            batches=loader.batches,
            step=step,
            model=model,
            bottleneck=model.bottleneck,
            optimizer=optimizer,
            validate=make_validate(model, forward, manifest, config, log),
            save=save,
            log=log,
        )
    except NonFiniteError as error:
        log.stop(error)
        raise
    finally:
        log.close()
    runs.write_report(folder, config.run.dir)


Speakers = Sequence[str | None]
Forward = Callable[[Tensor, Tensor, Tensor, Tensor | None, Speakers], StepOutput]


def make_forward(model: Autoencoder, config: Config, device: torch.device) -> Forward:
    """Return the function from a batch (input, target, lengths, keys, speakers) to its loss."""
    loss = ReconstructionLoss(config.loss, model.sample_rate).to(device)
    bf16 = config.train.precision == "bf16"

    def forward(
        x_input: Tensor, x: Tensor, lengths: Tensor, keys: Tensor | None, speakers: Speakers
    ) -> StepOutput:
        full = bool((lengths == x.shape[-1]).all())  # lengths are still on the host
        x_input, x, lengths = x_input.to(device), x.to(device), lengths.to(device)
        keys = None if keys is None else keys.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            out = model(x_input, None if full else lengths, keys, condition_of(model, speakers))
        terms = loss.total(loss(x, out.x_hat, lengths), lengths, lengths.sum())
        terms["bottleneck"] = out.bottleneck.loss.float().sum() / out.frames.sum()
        return StepOutput(
            loss=torch.stack(list(terms.values())).sum(),
            terms=terms,
            statistics=out.bottleneck.statistics,
            checks={
                "the input": x_input,
                "the encoder's output": out.z_e,
                "the bottleneck's output": out.bottleneck.z,
                "the decoder's output": out.x_hat,
                **{f"the loss term {k}": v for k, v in terms.items()},
            },
        )

    return forward


def make_validate(
    model: Autoencoder, forward: Forward, manifest: manifests.Manifest, config: Config, log: Log
) -> Callable[[int], dict[str, float]]:
    """Return the function that measures held-out speakers; codes are counted over all of them."""
    items = runs.validation_items(
        manifest,
        model.sample_rate,
        config.train.validation_utterances,
        config.train.validation_seconds,
    )
    total = sum(x.shape[-1] for _, x in items)
    speakers = {r.id: [r.speaker] for r in manifest.select("validation")}

    corrupt = Corruption(config.data.corruption, model.sample_rate)
    device = next(model.parameters()).device

    def measure(*, noisy: bool) -> dict[str, float]:
        sums: dict[str, float] = {}
        statistics: Statistics | None = None
        levels = Levels()
        for name, x in items:
            key = fixed_key(name)  # the same corruption, and the same samples, every time
            heard = corrupt(x, key) if noisy else x
            size, keys = torch.tensor([x.shape[-1]]), torch.tensor([key])
            out = forward(heard, x, size, keys, speakers[name])
            for k, v in out.terms.items():  # weighed by length: a mean over all samples
                sums[k] = sums.get(k, 0.0) + float(v) * x.shape[-1] / total
            levels.add(x, out.checks["the decoder's output"], heard if noisy else None)
            if out.statistics is not None:
                statistics = out.statistics if statistics is None else statistics + out.statistics
        described = model.bottleneck.describe(statistics) if statistics else {}
        return {**sums, **described, **levels.describe()}

    @torch.no_grad()
    def validate(at: int) -> dict[str, float]:
        model.eval()
        figures = measure(noisy=False)
        if config.data.corruption.active:
            figures |= {f"noisy/{k}": v for k, v in measure(noisy=True).items()}
        for name, x in items[: config.log.snapshots]:
            voice = condition_of(model, speakers[name])
            x_hat = model.reconstruct(x.to(device), None, voice).cpu()
            log.snapshot(at, name, x, x_hat, model.sample_rate)
        model.train()
        return {f"validation/{k}": v for k, v in figures.items()}

    return validate


@torch.no_grad()
def initialise(model: Autoencoder, batches: Iterable[Batch], device: torch.device) -> None:
    """Cluster the untrained encoder's output into the first codebook, if there is one."""
    if isinstance(model.bottleneck, DiscreteBottleneck):
        outs = [model(b.x_input.to(device), b.lengths.to(device)) for b in batches]
        z = torch.cat([out.z_e for out in outs])
        frames = torch.cat([out.frames for out in outs]).unsqueeze(1)
        real = torch.arange(z.shape[-1], device=device) < frames  # silence added is not speech
        model.bottleneck.initialise(z, Context(mask=real.unsqueeze(1)))
