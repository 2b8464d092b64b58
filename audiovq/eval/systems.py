"""What an evaluation listens to: a model, a model at fewer codebooks, or an anchor."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from audiovq.autoencoder import Autoencoder
from audiovq.bottlenecks._base import DiscreteBottleneck
from audiovq.data.corruption import fixed_key
from audiovq.errors import ConfigError
from audiovq.eval import codebook, machine
from audiovq.eval.codebook import Counts
from audiovq.eval.streams import side_by_side

Wave = Float[Tensor, "1 1 _"]
Blocks = Callable[[], Iterable[Wave]]  # opens a recording anew
T = TypeVar("T")


@dataclass(frozen=True)
class Rendering:
    """One utterance, or a piece of one, heard through a system.

    Attributes:
        x: the original, on the CPU.
        x_hat: what came out, as long, on the CPU.
        facts: figures of this utterance that are no scores: real-time factors, bits per second.
        counts: how often each code occurred (K, largest N), of a streamed recording with its first
            piece; None without codes.
    """

    x: Wave
    x_hat: Wave
    facts: Mapping[str, float] = field(default_factory=dict)
    counts: Counts | None = None


class System(ABC):
    """Something that takes speech and gives it back.

    Attributes:
        label: what it is called in tables.
        sample_rate: of what it takes and gives (Hz).
        device: where it computes.
        sizes: codebook size of each row of codes used; empty without codes.
    """

    label: str
    sample_rate: int
    sizes: tuple[int, ...] = ()
    device = torch.device("cpu")

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """Return what identifies it, for the report: at least `bottleneck` and `fingerprint`."""

    @abstractmethod
    def render(self, x: Wave, heard: Wave, name: str) -> Rendering:
        """Pass one utterance through.

        Args:
            x: the original.
            heard: what the system is given: the original, or a corrupted one.
            name: id of the utterance.
        """

    def stream(self, blocks: Blocks, size: int, name: str) -> Iterator[Rendering]:
        """Pass a recording longer than memory through, in pieces of `size` samples."""
        for x in _regroup(blocks(), size):
            found = self.render(x, x, name)
            yield Rendering(found.x, found.x_hat, {}, found.counts)

    def notes(self) -> Iterator[str]:
        """Yield what a reader of its figures must know."""
        yield from ()


class ModelSystem(System):
    """A model, or a residual model at its first few codebooks.

    Args:
        model: any autoencoder.
        label: what to call it.
        codebooks: use the first so many; None: all.

    Raises:
        ConfigError: the model has no such prefix of codebooks.
    """

    def __init__(self, model: Autoencoder, label: str, codebooks: int | None = None) -> None:
        self.model, self.label, self.codebooks = model, label, codebooks
        self.sample_rate = model.sample_rate
        self.device = next(model.parameters()).device
        self.sizes = model.codebook_sizes[:codebooks]
        self.warm = False
        if codebooks is not None:
            _check_prefix(model, codebooks)
            self.label = f"{label}, {codebooks} of {model.num_codebooks}"

    @property
    def whole(self) -> bool:
        """Whether every codebook is used."""
        return len(self.sizes) == self.model.num_codebooks

    @property
    def bitrate(self) -> float | None:
        """Nominal bits per second of the codebooks used; None for a continuous model."""
        if not self.sizes:
            return None
        return self.model.frame_rate * sum(math.log2(n) for n in self.sizes)

    def about(self) -> dict[str, Any]:
        """Return fingerprint, bottleneck, rates and sizes."""
        about = {
            "fingerprint": self.model.fingerprint(),
            "bottleneck": self.model.config.bottleneck.name,
            "sample_rate": self.sample_rate,
            "hop_length": self.model.hop_length,
            "frame_rate": self.model.frame_rate,
            "codebook_sizes": list(self.sizes),
            "num_parameters": self.model.num_parameters,
        }
        return about if self.codebooks is None else {**about, "codebooks": self.codebooks}

    def render(self, x: Wave, heard: Wave, name: str) -> Rendering:
        """Reconstruct an utterance, timed; of a VAE, from a sample of the posterior."""
        model, given, length = self.model, heard.to(self.device), x.shape[-1]
        if not self.warm:  # the first call pays for kernels, caches and memory
            model.reconstruct(given)
            self.warm = True
        counts = None
        if model.is_discrete:
            codes, encode = self._timed(lambda: model.encode(given)[:, : len(self.sizes)])
            x_hat, decode = self._timed(lambda: model.decode(codes, length))
            counts = codebook.count(codes, self.sizes)
        else:
            z, encode = self._timed(lambda: model.embed(given))
            x_hat, decode = self._timed(lambda: model.decode_embedding(z, length))
        seconds = length / self.sample_rate
        facts = {"encode_rtf": encode / seconds, "decode_rtf": decode / seconds}
        if model.bottleneck.has_rate:
            x_hat, facts["kl_bitrate"] = self._sampled(given, name)
        return Rendering(x, x_hat.cpu(), facts, counts)

    def stream(self, blocks: Blocks, size: int, name: str) -> Iterator[Rendering]:
        """Reconstruct as the model streams; fewer codebooks piece by piece, without context."""
        if not self.whole:
            yield from super().stream(blocks, size, name)
            return
        counts = None
        if self.model.is_discrete:
            counts = np.zeros((len(self.sizes), max(self.sizes)), np.int64)
            for codes in self.model.encode_blocks(b.to(self.device) for b in blocks()):
                counts += codebook.count(codes, self.sizes)
        for x, x_hat in side_by_side(self.model, blocks(), size):
            yield Rendering(x, x_hat, {}, counts)
            counts = None  # of the whole recording: they come once

    def notes(self) -> Iterator[str]:
        """Yield what is special about a VAE, and about codebooks that never learnt to be last."""
        if self.model.bottleneck.has_rate:
            yield (
                "reconstructions are of samples of the posterior, which the KL rate pays for; "
                "resynth and embed use its mean"
            )
        if not self.whole and getattr(self.model.config.bottleneck, "dropout", None) == 0:
            yield "the model was trained without codebook dropout: no prefix was trained for"

    def _sampled(self, x: Wave, name: str) -> tuple[Tensor, float]:
        """Return a reconstruction from a sample of the posterior, and the bits per second it costs.

        A posterior's mean costs more than its KL to send: the two belong together.
        """
        key = torch.tensor([fixed_key(name)], device=self.device)
        out = self.model(x, keys=key)
        bits = float(out.bottleneck.metrics["kl"].double().sum()) / math.log(2)
        return out.x_hat, bits * self.sample_rate / x.shape[-1]

    def _timed(self, compute: Callable[[], T]) -> tuple[T, float]:
        machine.synchronise(self.device)
        start = time.perf_counter()
        result = compute()
        machine.synchronise(self.device)
        return result, time.perf_counter() - start


def _check_prefix(model: Autoencoder, number: int) -> None:
    most, bottleneck = model.num_codebooks, model.bottleneck
    name = model.config.bottleneck.name
    if not isinstance(bottleneck, DiscreteBottleneck):
        raise ConfigError(f"codebooks={number}, but a {name} model has none; leave --codebooks out")
    if not 1 <= number <= most:
        raise ConfigError(f"codebooks={number}; this {name} model has 1 to {most}")
    zeros = torch.zeros(1, number, 1, dtype=torch.int64, device=next(model.parameters()).device)
    try:
        bottleneck.decode(zeros)
    except ConfigError:
        raise ConfigError(
            f"codebooks={number}, but a {name} model does not decode without all {most} rows; "
            f"only a residual model (rvq) has prefixes"
        ) from None


def _regroup(blocks: Iterable[Wave], size: int) -> Iterator[Wave]:
    """Yield pieces of `size` samples, the last shorter."""
    held = torch.zeros(1, 1, 0)
    for block in blocks:
        held = torch.cat([held, block], dim=-1)
        while held.shape[-1] >= size:
            yield held[..., :size]
            held = held[..., size:].clone()
    if held.shape[-1]:
        yield held
