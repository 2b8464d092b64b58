"""What every recipe does around its loop: run folder, settings that may change, device."""

import hashlib
import reprlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn

from audiovq import distributed
from audiovq.alone import alone
from audiovq.config import Config, parse, read_yaml, to_yaml
from audiovq.data import manifest as manifests
from audiovq.data.corruption import Corruption
from audiovq.data.loader import DataConfig
from audiovq.data.manifest import Manifest
from audiovq.errors import ConfigError, DistributedError
from audiovq.files import atomic_write, remove_stale
from audiovq.train.between import IntervalConfig

# Fields that change no result: they may differ when a run goes on.
OPERATIONAL = (
    "run",
    "log",
    "checkpoint",
    "data.manifest",  # its content is compared instead, by `Identity`; that of codes, too
    "codes",
    "train.given_codes",
    "train.given_features",
    "data.workers",
    "train.device",
    "train.max_steps",
    "train.validate_every",
    "train.validation_seconds",
    "train.validation_utterances",
    "train.micro_batches",
    "train.max_hours",
    "train.compile",
    "train.recompute",
    "best",
    "distributed",
)

_SHORT = reprlib.Repr()  # a setting may be the names of thousands of speakers
_SHORT.maxstring = _SHORT.maxother = 200


class RunConfig(Config):
    """Where a run lives."""

    dir: str = Field("runs/run", description="folder of the run; made if missing")


class CheckpointConfig(Config):
    """How often a run can be taken up again."""

    every: int = Field(250, ge=1, description="steps between checkpoints")
    keep: int = Field(2, ge=1, description="how many of the newest checkpoints stay")


class TrainingConfig(IntervalConfig):
    """What every recipe that trains must know."""

    seed: int = Field(
        0, ge=0, lt=1 << 63, description="decides initial weights, sample order, augmentation"
    )
    device: str = Field("auto", description="cpu, cuda, cuda:1 ...; auto: cuda if there is one")
    precision: Literal["float32", "bf16"] = Field(
        "float32", description="bf16: autocast, for GPUs and CPUs with bf16 units"
    )
    average: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="decay of a running average of the weights, kept as average/ "
        "in run.dir and validated beside; 0: none",
    )
    compile: bool = Field(False, description="torch.compile the model; needs a C++ compiler")


class Identity:
    """A value that must be the same when a run goes on, such as the corpus's fingerprint.

    Args:
        value: to be compared.
        what: it is of, for the error.
    """

    def __init__(
        self, value: str, what: str = "the manifest's records (or the noise folder's)"
    ) -> None:
        self.value, self.what = value, what

    def state_dict(self) -> dict[str, Any]:
        """Return the value."""
        return {"value": self.value}

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Refuse another value."""
        if state["value"] != self.value:
            raise ValueError(
                f"{self.what} are not those this run began with; start another run.dir"
            )


def identity(manifest: Manifest, data: DataConfig, sample_rate: int) -> Identity:
    """Return what the training data is known by: its records, and recordings of noise if any."""
    each = (data.corruption, data.augment.noise)
    noise = "".join(Corruption(c, sample_rate).fingerprint() for c in each)
    return Identity(manifest.fingerprint() + noise)


def open_folder(config: Any) -> Path:
    """Make the run folder, or take it up again, without what a killed writer left in it.

    Raises:
        ConfigError: the folder holds a run whose deciding settings differ.
    """
    folder = Path(config.run.dir)
    with distributed.main_first():
        if distributed.is_main():
            _make(folder)
            refuse_other_settings(folder, config)
    return folder


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"run.dir={folder} cannot be a folder: {error}") from None
    models = (folder / name for name in ("model", "best", "average"))
    for place in (folder, *models, folder / "snapshots"):
        remove_stale(place)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a run folder within the block; all ranks are one training."""
    with ExitStack() as stack:
        with distributed.main_first():
            if distributed.is_main():
                stack.enter_context(alone(folder, "training in"))
        yield


def read_corpus(path: str) -> Manifest:
    """Return the manifest at `path`, after one rank has looked whether all its files are there.

    Raises:
        ConfigError: no path is given.
        ManifestError: it cannot be read, or files are missing.
    """
    if not path:
        raise ConfigError("data.manifest is missing: make one with `audiovq prepare`, name it here")
    with distributed.main_first():
        return manifests.read(path, check_files=distributed.is_main())


def refuse_other_settings(folder: Path, config: Config) -> None:
    """Compare a run's stored config, if it has begun, with the one it is to go on with.

    Raises:
        ConfigError: settings that decide the result differ.
    """
    path = folder / "config.yaml"
    if not path.exists() or not any((folder / "checkpoints").glob("*.pt")):
        return
    old = deciding(_with_defaults(config, read_yaml(path)))
    new = deciding(config.model_dump(mode="json"))
    changed = [
        f"{k}: {_SHORT.repr(old.get(k))} then, {_SHORT.repr(new.get(k))} now"
        for k in sorted(old.keys() | new.keys())
        if old.get(k) != new.get(k)
    ]
    if changed:
        raise ConfigError(
            f"{folder} holds a run with other settings ({'; '.join(changed[:5])}): put them "
            f"back to go on with it, or choose another run.dir"
        )


def deciding(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that decide a run's result, by dotted path."""
    return {k: v for k, v in _flat(values).items() if not _operational(k)}


def _with_defaults(config: Config, values: dict[str, Any]) -> dict[str, Any]:
    """Return a stored config as this version reads it: fields it lacks have their defaults."""
    try:
        return parse(type(config), values).model_dump(mode="json")
    except ConfigError:  # it has fields of another version, which the comparison will name
        return values


def store_config(folder: Path, config: Config) -> None:
    """Write the resolved config, once the run is known to go on with it."""
    if distributed.is_main():
        atomic_write(folder / "config.yaml", to_yaml(config))


def pick_device(name: str) -> torch.device:
    """Return the device of that name; `auto` is a GPU, or the CPU where there is none.

    Of several processes on a machine each gets a GPU of its own.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if distributed.part()[1] > 1:
        if name.startswith("cuda:"):
            raise ConfigError(
                f"train.device={name} is one GPU for {distributed.part()[1]} processes: use "
                f"train.device=cuda, which gives each its own, or CUDA_VISIBLE_DEVICES"
            )
        if name == "cuda":  # each may be shown its own GPU alone, as SLURM does
            name = f"cuda:{distributed.local_rank() % max(1, torch.cuda.device_count())}"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        first = str(error).split("\n", maxsplit=1)[0]
        raise ConfigError(f"train.device={name} cannot be used here: {first}") from None
    return device


def refuse_empty_parts(batch_size: int, micro_batches: int) -> None:
    """Look whether every process and every micro-batch gets something.

    Raises:
        ConfigError: the batch is too small.
    """
    ranks = distributed.part()[1]
    if batch_size < ranks:
        raise ConfigError(
            f"data.batch_size={batch_size} cannot be shared by {ranks} processes: make it at least "
            f"that large"
        )
    if batch_size // ranks < micro_batches:
        raise ConfigError(
            f"train.micro_batches={micro_batches} is more than the {batch_size // ranks} segments "
            f"that data.batch_size={batch_size} gives each of {ranks} processes: lower it"
        )


def refuse_divergence(model: nn.Module, step: int) -> None:
    """Compare weights and codebook of all ranks, which must hold the same bits.

    Raises:
        DistributedError: they do not.
    """
    if distributed.part()[1] == 1:
        return
    digest = hashlib.sha256()
    for value in model.state_dict().values():
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    digests = distributed.gather_objects(digest.hexdigest())
    odd = [rank for rank, d in enumerate(digests) if d != digests[0]]
    if odd:
        raise DistributedError(
            f"at step {step} weights or codebook of rank {odd[0]} differ from rank 0's, and not "
            f"only there: nothing of it was saved; start again from the last checkpoint, and "
            f"report it if it comes back"
        )


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, Mapping):
        return {prefix: values}
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _operational(key: str) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in OPERATIONAL)
