"""What every recipe that trains an autoencoder shares: settings, start, forward, validation."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn

from audiovq import config as configs
from audiovq import distributed
from audiovq.autoencoder import Autoencoder, AutoencoderConfig
from audiovq.bottlenecks._base import Context, DiscreteBottleneck, Statistics
from audiovq.data import manifest as manifests
from audiovq.data.corruption import Corruption, fixed_key
from audiovq.data.loader import Batch, DataConfig, Loader
from audiovq.distributed import DistributedConfig
from audiovq.errors import ConfigError
from audiovq.losses.reconstruction import LossConfig, ReconstructionLoss
from audiovq.nn.recompute import recompute
from audiovq.train import run as runs
from audiovq.train.best import BestConfig
from audiovq.train.levels import Levels
from audiovq.train.log import Log, LogConfig
from audiovq.train.optim import OptimConfig
from audiovq.train.speakers import condition_of
from audiovq.train.start import copy_weights
from audiovq.train.step import StepOutput
from audiovq.train.validation import validation_items, whole_figures


class TrainConfig(runs.TrainingConfig):
    """How long, on what, and how."""

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
    init_from: str = Field(
        "", description="model or run folder whose weights a new run starts from (fine-tuning)"
    )
    init_codebook: Literal["keep", "new"] = Field(
        "keep", description="with init_from: keep its bottleneck, or cluster a new codebook"
    )
    recompute: bool = Field(
        False, description="forget activations and compute them again in backward: less memory"
    )
    validation_seconds: float = Field(6.0, gt=0, description="seconds used of each utterance (s)")
    validation_utterances: int = Field(32, ge=1, description="utterances used, spread over all")


class AutoencodingConfig(configs.Config):
    """Everything that decides a run of a recipe for autoencoders, and a few things that do not."""

    recipe: str = Field("", description="the recipe's file")
    run: runs.RunConfig = Field(runs.RunConfig(), description="where the run lives")
    model: AutoencoderConfig = Field(AutoencoderConfig(), description="encoder to decoder")
    data: DataConfig = Field(DataConfig(), description="what it learns from")
    loss: LossConfig = Field(LossConfig(), description="what it minimises")
    optim: OptimConfig = Field(OptimConfig(), description="how it moves")
    train: TrainConfig = Field(TrainConfig(), description="how long, on what")
    best: BestConfig = Field(BestConfig(), description="which model is best, and early stopping")
    checkpoint: runs.CheckpointConfig = Field(runs.CheckpointConfig(), description="what is kept")
    log: LogConfig = Field(LogConfig(), description="what it tells")
    distributed: DistributedConfig = Field(
        DistributedConfig(), description="how processes wait for each other"
    )


def make_batches(
    manifest: manifests.Manifest, config: AutoencodingConfig
) -> tuple[Callable[[int], Iterator[Batch]], Callable[[], Iterator[Batch]]]:
    """Return two functions that give this process's part of batches.

    Those from a step on, without end; and the first few, which a codebook is clustered from.

    Raises:
        ConfigError: a process or a micro-batch would get nothing.
    """
    data, train = config.data, config.train
    records = manifest.select("train")
    loader = Loader(manifest, records, data, config.model.sample_rate, train.seed)
    runs.refuse_empty_parts(data.batch_size, train.micro_batches)
    batches = partial(loader.batches, part=distributed.part())
    return batches, lambda: islice(batches(0), train.initialise_batches)


def begin(
    model: Autoencoder,
    config: TrainConfig,
    batches: Iterable[Batch],
    device: torch.device,
    say: Callable[[str], None],
) -> None:
    """Start from another model's weights, if the config names one, and a codebook that fits.

    `say` is told what of the weights did not fit.
    """
    if config.init_from:
        missing, unused = copy_weights(model, config.init_from, config.init_codebook)
        said = (("start from scratch", missing), ("are not used", unused))
        for what, names in said if distributed.is_main() else ():
            shown = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")
            say(f"{config.init_from}: {len(names)} tensors {what}: {shown}")
    if not (config.init_from and config.init_codebook == "keep"):
        initialise(model, batches, device)


def around(model: Autoencoder, config: TrainConfig, device: torch.device) -> nn.Module:
    """Return the model as it is trained: recomputed, compiled, on several processes."""
    if model.bottleneck.needs_input_gradient and (config.compile or config.recompute):
        raise ConfigError(
            f"the bottleneck {model.config.bottleneck.name!r} differentiates twice, which "
            f"train.compile and train.recompute cannot: leave them out"
        )
    if config.recompute:
        recompute(model.encoder)
        recompute(model.decoder)
    network: Any = torch.compile(model) if config.compile else model
    return distributed.wrap(network, device)


def make_forward(
    network: nn.Module, model: Autoencoder, config: AutoencodingConfig, device: torch.device
) -> Callable[[Batch], StepOutput]:
    """Return the function from a batch to its share of the step's loss.

    `network` is the model, or what several processes have around it.
    """
    loss = ReconstructionLoss(config.loss, model.sample_rate).to(device)
    bf16 = config.train.precision == "bf16"

    def forward(batch: Batch) -> StepOutput:
        full = bool((batch.lengths == batch.x.shape[-1]).all())  # lengths are still on the host
        frames = model.frames(batch.step_lengths).sum() * model.bottleneck.stride
        voices = condition_of(model, batch.speakers)
        x_input, x, lengths, keys = (
            t.to(device) for t in (batch.x_input, batch.x, batch.lengths, batch.keys)
        )
        heard = () if batch.reference is None else (batch.reference.to(device),)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            out = network(x_input, None if full else lengths, keys, voices, *heard)
        terms = loss.total(loss(x, out.x_hat, lengths), lengths, batch.step_lengths.sum())
        terms["bottleneck"] = out.bottleneck.loss.float().sum() / frames
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
    manifest: manifests.Manifest, config: AutoencodingConfig, device: torch.device, log: Log
) -> Callable[[Autoencoder, int, str], dict[str, float]]:
    """Return the function that measures held-out speakers; codes are counted over all of them."""
    rate = config.model.sample_rate
    items = validation_items(
        manifest, rate, config.train.validation_utterances, config.train.validation_seconds
    )
    total = sum(x.shape[-1] for _, x in items)
    speakers = {r.id: r.speaker for r in manifest.select("validation")}
    corrupt = Corruption(config.data.corruption, rate)
    rank, ranks = distributed.part()

    def measure(model: Autoencoder, *, noisy: bool) -> dict[str, float]:
        forward = make_forward(model, model, config, device)
        sums: dict[str, float] = {}
        statistics: Statistics | None = None
        levels = Levels()
        for name, x in items[rank::ranks]:
            key = fixed_key(name)  # the same corruption, and the same samples, every time
            heard = corrupt(x, key) if noisy else x
            size = torch.tensor([x.shape[-1]])
            out = forward(
                Batch(
                    x=x,
                    x_input=heard,
                    lengths=size,
                    keys=torch.tensor([key]),
                    ids=(name,),
                    speakers=(speakers[name],),
                    step_lengths=size,
                )
            )
            for k, v in out.terms.items():  # weighed by length: a mean over all samples
                sums[k] = sums.get(k, 0.0) + float(v) * x.shape[-1] / total
            levels.add(x, out.checks["the decoder's output"], heard if noisy else None)
            if out.statistics is not None:
                statistics = out.statistics if statistics is None else statistics + out.statistics
        return whole_figures(sums, statistics, levels, model.bottleneck)

    @torch.no_grad()
    def validate(model: Autoencoder, at: int, prefix: str) -> dict[str, float]:
        model.eval()
        figures = measure(model, noisy=False)
        if config.data.corruption.active:
            figures |= {f"noisy/{k}": v for k, v in measure(model, noisy=True).items()}
        shown = items[: config.log.snapshots] if distributed.is_main() else ()
        for name, x in shown if prefix == "validation" else ():
            voice = condition_of(model, (speakers[name],))
            x_hat = model.reconstruct(x.to(device), None, voice).cpu()
            log.snapshot(at, name, x, x_hat, rate)
        model.train()
        return {f"{prefix}/{k}": v for k, v in figures.items()}

    return validate


@torch.no_grad()
def initialise(model: Autoencoder, batches: Iterable[Batch], device: torch.device) -> None:
    """Cluster the untrained encoder's output into the first codebook, if there is one.

    Items pass one by one, so that the codebook is the same for any number of processes.
    """
    if not isinstance(model.bottleneck, DiscreteBottleneck):
        return
    z, frames = [], []
    for batch in batches:
        items = zip(torch.split(batch.x_input, 1), torch.split(batch.lengths, 1), strict=True)
        outs = [model(x.to(device), length.to(device)) for x, length in items]
        mine = [torch.cat([o.z_e for o in outs]).cpu(), torch.cat([o.frames for o in outs]).cpu()]
        for rank_z, rank_frames in distributed.gather_objects(mine):
            z.append(rank_z)
            frames.append(rank_frames)
    together = torch.cat(z).to(device)
    ends = torch.cat(frames).to(device).unsqueeze(1)
    real = torch.arange(together.shape[-1], device=device) < ends  # silence added is not speech
    model.bottleneck.initialise(together, Context(mask=real.unsqueeze(1)))
