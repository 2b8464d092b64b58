"""A run before it begins: its config, the corpus it names, the model it builds, where it runs."""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from audiovq import audio
from audiovq.autoencoder import Autoencoder, AutoencoderConfig
from audiovq.data.corruption import Corruption
from audiovq.data.manifest import Manifest, Record
from audiovq.data.segments import Segments
from audiovq.errors import AudioError, AudioVQError, ConfigError
from audiovq.train import run as runs
from audiovq.train.facts import gpus as _gpus
from audiovq.train.facts import machine as _machine
from audiovq.train.facts.gpus import Gpus
from audiovq.train.facts.machine import Cores, Disk, Memory
from audiovq.train.speakers import name_speakers

_PATIENCE = 1.5  # seconds of looking for files: on a network's disk each may take a millisecond
_DECODED = 16  # files opened and compared with their records


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """How large a model is.

    Attributes:
        hop_length: samples per frame of codes.
        codebook_sizes: codes of each codebook; empty for a continuous model.
        layout: what each codebook stands for.
        weights: parameters and buffers (bytes).
        trained: those of them that the optimizer moves (bytes).
        activations: what a training step keeps for its gradient (bytes).
    """

    hop_length: int
    codebook_sizes: tuple[int, ...]
    layout: tuple[str, ...]
    weights: int
    trained: int
    activations: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Files:
    """What was seen of a manifest's files.

    Attributes:
        looked: records whose file was looked for.
        missing: paths that are not there.
        wrong: why a file is not as its record says, of the few that were opened.
    """

    looked: int = 0
    missing: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All there is to know of a run before it begins.

    Attributes:
        config: the resolved config of the recipe `train_autoencoder`, training speakers named.
        manifest: the corpus.
        size: of the model; None if it cannot be built.
        error: why it cannot.
        device: why `train.device` cannot be used; "" if it can.
        folder: why `run.dir` cannot be used; "" if it can.
        noise: why `data.corruption` cannot be used; "" if it can.
        files: what was seen of the corpus's files.
    """

    config: Any
    manifest: Manifest
    cores: Cores
    memory: Memory
    gpus: Gpus
    disk: Disk
    size: Size | None = None
    error: str = ""
    device: str = ""
    folder: str = ""
    noise: str = ""
    files: Files = Files()

    @cached_property
    def training(self) -> list[Record]:
        """Records of the training split."""
        return self.manifest.select("train")

    @cached_property
    def seconds(self) -> float:
        """Training speech (s)."""
        return math.fsum(r.duration for r in self.training)

    @cached_property
    def segments(self) -> int:
        """Segments in an epoch."""
        data = self.config.data
        return len(Segments(self.training, data.segment_seconds, 0)) if self.training else 0

    @cached_property
    def padding(self) -> float:
        """Share of a batch that is silence added to recordings shorter than a segment."""
        each = self.config.data.segment_seconds
        missing = sum(max(0.0, 1.0 - r.duration / each) for r in self.training)
        return missing / self.segments if self.segments else 0.0

    @property
    def on_gpu(self) -> bool:
        """Whether training is to run on a GPU."""
        name = self.config.train.device
        return name.startswith("cuda") or (name == "auto" and self.gpus.usable)

    @property
    def batch_bytes(self) -> int:
        """Size of a batch of waveforms (bytes)."""
        data, rate = self.config.data, self.config.model.sample_rate
        samples: int = data.batch_size * round(data.segment_seconds * rate)
        return 4 * samples * (2 if data.corruption.active else 1)

    def summary(self) -> dict[str, Any]:
        """Return it as plain values, the corpus and the config by their figures alone."""
        return {
            "manifest": str(self.manifest.path),
            "records": len(self.manifest.records),
            "training_records": len(self.training),
            "training_seconds": self.seconds,
            "training_segments": self.segments,
            "model": None if self.size is None else asdict(self.size),
            "cores": asdict(self.cores),
            "memory": asdict(self.memory),
            "gpus": asdict(self.gpus),
            "disk": asdict(self.disk),
        }


def look(config: Any, manifest: Manifest) -> Plan:
    """Look at all of it; nothing is written, and no weight is made."""
    size, error = None, ""
    try:
        named = name_speakers(config.model, manifest)
        config = config.model_copy(update={"model": named})
        size = measure(named, config)
    except AudioVQError as failed:
        error = str(failed)
    return Plan(
        config=config,
        manifest=manifest,
        cores=_machine.cores(),
        memory=_machine.memory(),
        gpus=_gpus.look(),
        disk=_machine.disk(existing(Path(config.run.dir))),
        size=size,
        error=error,
        device=_refused(runs.pick_device, config.train.device),
        folder=_refused(_open_folder, Path(config.run.dir), config),
        noise=_refused(Corruption, config.data.corruption, config.model.sample_rate),
        files=files(manifest),
    )


def measure(model: AutoencoderConfig, config: Any) -> Size:
    """Measure a model on the device `meta`, where tensors have shapes and no content."""
    data = config.data
    rows = data.batch_size * config.train.monte_carlo_samples
    length = max(1, round(data.segment_seconds * model.sample_rate))
    with torch.device("meta"):
        built = Autoencoder(model)
        x, keys = torch.zeros(rows, 1, length), torch.zeros(rows, dtype=torch.int64)
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor  # noqa: SLF001  (views share a storage)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        built(x, None, keys)
    return Size(
        hop_length=built.hop_length,
        codebook_sizes=built.codebook_sizes,
        layout=built.layout,
        weights=_bytes([*built.parameters(), *built.buffers()]),
        trained=_bytes([p for p in built.parameters() if p.requires_grad]),
        activations=sum(t.untyped_storage().nbytes() for t in kept.values()),
    )


def files(manifest: Manifest, patience: float = _PATIENCE) -> Files:
    """Look for the records' files, spread over the manifest, and open a few of them."""
    records = manifest.records
    golden = (math.sqrt(5) - 1) / 2  # multiples of it, modulo 1, spread evenly however many
    order = sorted(range(len(records)), key=lambda i: i * golden % 1)
    missing, wrong, looked, start = [], [], 0, time.perf_counter()
    for i in order:
        if looked and time.perf_counter() - start > patience:
            break
        record = records[i]
        looked += 1
        if not audio.exists(manifest.file(record)):
            missing.append(record.path)
        elif looked - len(missing) <= _DECODED and (why := _differs(manifest, record)):
            wrong.append(why)
    return Files(looked=looked, missing=tuple(missing), wrong=tuple(wrong))


def existing(folder: Path) -> Path:
    """Return the folder, or the nearest one around it that is there."""
    folder = folder.absolute()
    return next(p for p in (folder, *folder.parents) if p.is_dir())


def _open_folder(folder: Path, config: Any) -> None:
    """Refuse what `runs.open_folder` would, without making anything."""
    in_the_way = [p for p in (folder, *folder.parents) if p.exists() and not p.is_dir()]
    if in_the_way:
        raise ConfigError(f"run.dir={folder} cannot be a folder: {in_the_way[0]} is a file")
    runs.refuse_other_settings(folder, config)


def _differs(manifest: Manifest, record: Record) -> str:
    try:
        manifest.load(record, record.sample_rate, num_samples=1)
    except AudioError as error:
        return str(error)
    return ""


def _refused(check: Any, *arguments: Any) -> str:
    """Return why a check refuses its arguments; "" if it does not."""
    try:
        check(*arguments)
    except AudioVQError as error:
        return str(error)
    return ""


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)
