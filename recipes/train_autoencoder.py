"""Train an autoencoder with any bottleneck on a corpus of speech.

    audiovq train autoencoder/vq_ema data.manifest=speech.jsonl run.dir=runs/vq

The same command on the same folder continues the run.
"""

from itertools import islice
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from audiovq.autoencoder import Autoencoder, AutoencoderConfig
from audiovq.bottlenecks._base import Context, DiscreteBottleneck, Statistics
from audiovq.config import Config as Config_
from audiovq.data import manifest as manifests
from audiovq.data.loader import Batch, DataConfig, Loader
from audiovq.losses.reconstruction import LossConfig, ReconstructionLoss
from audiovq.train import run as runs
from audiovq.train.checkpoint import Store
from audiovq.train.log import Log, LogConfig
from audiovq.train.loop import IntervalConfig, StepOutput, fit
from audiovq.train.optim import OptimConfig, Optimizer


class TrainConfig(IntervalConfig):
    """How long, on what, and how."""

    seed: int = Field(0, ge=0, description="decides initial weights, sample order, augmentation")
    device: str = Field("auto", description="cpu, cuda, cuda:1 ...; auto: cuda if there is one")
    precision: Literal["float32", "bf16"] = Field(
        "float32", description="bf16: autocast, for GPUs and CPUs with bf16 units"
    )
    initialise_batches: int = Field(
        16, ge=1, description="batches whose frames the first codebook is clustered from"
    )
    validation_seconds: float = Field(6.0, gt=0, description="seconds used of each utterance (s)")
    validation_utterances: int = Field(32, ge=1, description="utterances used, spread over all")


class Config(Config_):
    """Everything that decides a run."""

    recipe: Literal["train_autoencoder"] = "train_autoencoder"
    run: runs.RunConfig = runs.RunConfig()
    model: AutoencoderConfig = AutoencoderConfig()
    data: DataConfig = DataConfig()
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    checkpoint: runs.CheckpointConfig = runs.CheckpointConfig()
    log: LogConfig = LogConfig()


def main(config: Config) -> None:
    """Train, or go on training, in `run.dir`."""
    folder = runs.open_folder(config)
    manifest = manifests.read(config.data.manifest, check_files=True)
    device = runs.pick_device(config.train.device)

    torch.manual_seed(config.train.seed)
    model = Autoencoder(config.model).to(device)
    loss = ReconstructionLoss(config.loss, model.sample_rate).to(device)
    optimizer = Optimizer([model], config.optim)
    loader = Loader(
        manifest, manifest.select("train"), config.data, model.sample_rate, config.train.seed
    )
    store = Store(folder / "checkpoints", config.checkpoint.keep)
    parts = {
        "model": model,
        "optimizer": optimizer,
        "corpus": runs.Identity(manifest.fingerprint()),
    }
    start = store.resume(parts)
    if start == 0 and isinstance(model.bottleneck, DiscreteBottleneck):
        first = islice(loader.batches(0), config.train.initialise_batches)
        initialise(model, model.bottleneck, [b.x_input.to(device) for b in first])

    def forward(x_input: Tensor, x: Tensor, lengths: Tensor, keys: Tensor | None) -> StepOutput:
        some = bool((lengths < x.shape[-1]).any())  # lengths are still on the host
        lengths = lengths.to(device)
        bf16 = config.train.precision == "bf16"
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            out = model(x_input, lengths if some else None, keys)
        samples = float(lengths.sum())
        terms = loss.total(loss(x, out.x_hat, lengths), lengths, samples)
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

    def step(batch: Batch) -> StepOutput:
        x, x_input = batch.x.to(device), batch.x_input.to(device)
        return forward(x_input, x, batch.lengths, batch.keys.to(device))

    log = Log(folder, config.log, start, config.train.max_steps)
    held_out = runs.validation_items(
        manifest,
        model.sample_rate,
        config.train.validation_utterances,
        config.train.validation_seconds,
    )

    @torch.no_grad()
    def validate(at: int) -> dict[str, float]:
        model.eval()
        sums: dict[str, float] = {}
        statistics: Statistics | None = None
        samples = sum(x.shape[-1] for _, x in held_out)
        for i, (name, x) in enumerate(held_out):
            length = torch.tensor([x.shape[-1]])
            out = forward(x.to(device), x.to(device), length, None)
            for k, v in out.terms.items():  # weighed by length: a mean over all samples
                sums[k] = sums.get(k, 0.0) + float(v) * x.shape[-1] / samples
            if out.statistics is not None:
                statistics = out.statistics if statistics is None else statistics + out.statistics
            if i < config.log.snapshots:
                log.snapshot(at, name, x, model.reconstruct(x.to(device)).cpu(), model.sample_rate)
        model.train()
        described = model.bottleneck.describe(statistics) if statistics else {}
        return {f"validation/{k}": v for k, v in {**sums, **described}.items()}

    def save(at: int) -> None:
        store.save(at, parts)
        model.save(folder / "model")

    try:
        if start >= config.train.max_steps:
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
            validate=validate,
            save=save,
            log=log,
        )
    finally:
        log.close()
    runs.write_report(folder, config.run.dir)


@torch.no_grad()
def initialise(model: Autoencoder, bottleneck: DiscreteBottleneck, waveforms: list[Tensor]) -> None:
    """Cluster the untrained encoder's output into the first codebook."""
    hop = model.hop_length
    frames = [model.encoder(F.pad(x, (0, -x.shape[-1] % hop))) for x in waveforms]
    bottleneck.initialise(torch.cat(frames), Context())
