"""How far written graphs are from the model they are of, and how fast."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from audiovq.errors import ConfigError
from audiovq.export.runtime import OnnxGraph, OnnxSteps, TorchGraph
from audiovq.nn.conv import SPEECH_LEVEL

if TYPE_CHECKING:
    from audiovq.autoencoder import Autoencoder

_SECONDS = 10.0  # that speed is measured on
_BLOCK_FRAMES = 5  # of a stream
# More than rounding can do, which is about one code in 1,000, and 1e-6 of a sample.
_MOST_CODES, _MOST_SAMPLES = 0.02, 1e-3


@dataclass
class Agreement:
    """How one file of a graph compares with the model.

    Attributes:
        file: its name.
        codes: how many were compared; 0 if none come out.
        differing: how many of them are others.
        largest: difference of samples, or of an embedding relative to its largest value.
        seconds: that 10 s of sound take; None: not measured.
        eager: what PyTorch takes for it.
    """

    file: str
    codes: int = 0
    differing: int = 0
    largest: float = 0.0
    seconds: float | None = None
    eager: float | None = None

    def take(self, found: Tensor, wanted: Tensor) -> None:
        """Compare a result with what the model gives."""
        assert found.shape == wanted.shape, (self.file, found.shape, wanted.shape)
        if not wanted.is_floating_point():
            self.codes += wanted.numel()
            self.differing += int((found != wanted).sum())
            return
        scale = max(1.0, float(wanted.abs().max()))
        self.largest = max(self.largest, float((found - wanted).abs().max()) / scale)

    @property
    def holds(self) -> bool:
        """Whether differences are those of rounding."""
        return self.differing <= _MOST_CODES * self.codes and self.largest <= _MOST_SAMPLES

    def __str__(self) -> str:
        if self.codes:
            share = 100 * self.differing / self.codes
            words = f"{self.differing} of {self.codes} codes differ ({share:.3g} %)"
        else:
            words = f"largest difference {self.largest:.1e}"
        if self.seconds is None or self.eager is None:
            return f"{self.file}\t{words}"
        return (
            f"{self.file}\t{words}\t{_SECONDS:g} s of sound in {1e3 * self.seconds:.1f} ms, "
            f"PyTorch {1e3 * self.eager:.1f} ms ({self.eager / self.seconds:.2f} x)"
        )


def noise(model: "Autoencoder") -> list[Float[Tensor, "B 1 L"]]:
    """Return waveforms to compare on: one item and two, whole frames and not."""
    hop, generator = model.hop_length, torch.Generator().manual_seed(0)
    sizes = ((1, model.sample_rate + hop // 2), (2, 37 * hop), (1, hop + 1))
    return [SPEECH_LEVEL * torch.randn(b, 1, n, generator=generator) for b, n in sizes]


def check(
    model: "Autoencoder",
    folder: Path,
    about: Mapping[str, Any],
    waveforms: Iterable[Float[Tensor, "B 1 L"]],
    *,
    speed_rounds: int = 5,
) -> list[Agreement]:
    """Compare the graphs of a folder with the model.

    Args:
        model: on the CPU.
        folder: of the files.
        about: what they are, as `manifest` says it.
        waveforms: to compare on.
        speed_rounds: of timing; 0: none.

    Raises:
        ConfigError: a graph differs by more than rounding; or onnxruntime is missing.
    """
    files = [
        _File(model, about, name, form, folder / file)
        for name, graph in about["graphs"].items()
        for form, file in graph["files"].items()
    ]
    for x in waveforms:
        for file in files:
            file.compare(x)
    if speed_rounds:
        for file in files:
            if not about["graphs"][file.name]["states"]:
                file.time(speed_rounds)
    for found in (file.found for file in files):
        if not found.holds:
            raise ConfigError(
                f"a graph is not what the model is ({str(found).replace(chr(9), ': ')}), so "
                f"nothing was written; try another --opset or other versions of the packages"
            )
    return [file.found for file in files]


class _File:
    """A file of a graph beside the model."""

    def __init__(
        self, model: "Autoencoder", about: Mapping[str, Any], name: str, form: str, path: Path
    ) -> None:
        graph = about["graphs"][name]
        threads = torch.get_num_threads()
        self.model, self.name, self.found = model, name, Agreement(path.name)
        self.graph: OnnxGraph | OnnxSteps | TorchGraph
        if form == "torch":
            self.graph = TorchGraph(path)
        else:
            self.graph = (OnnxSteps if graph["states"] else OnnxGraph)(path, graph, threads)
        self.least = graph["least_in_torch"]
        self.told = any(port["name"] == "speaker" for port in graph["inputs"])
        self.rows = len(about["codebook_sizes"]) or None
        self.speaker = about["settings"]["speaker"]

    def compare(self, x: Float[Tensor, "B 1 L"]) -> None:
        """Compare on a waveform, unless it is too short for the file."""
        encodes = "encoder" in self.name
        given = (x,) if encodes else self.to_decode(x)
        wanted = self.middle(x) if encodes else self.waveform(*given)
        if any(given[0].shape[-1] < n for axis, n in self.least.items() if axis != "batch"):
            return
        self.found.take(self.run(*given), wanted)

    def run(self, given: Tensor, *others: Tensor) -> Tensor:
        """Run the file."""
        if not isinstance(self.graph, OnnxSteps):
            return self.graph(given, *others)
        hop = self.model.hop_length if "encoder" in self.name else 1
        whole = F.pad(given, (0, -given.shape[-1] % hop))
        return self.graph.all_of(whole, *others, block=_BLOCK_FRAMES * hop)

    def time(self, rounds: int) -> None:
        """Measure both on 10 s of noise, in turns."""
        samples = int(_SECONDS * self.model.sample_rate)
        x = SPEECH_LEVEL * torch.randn(1, 1, samples, generator=torch.Generator().manual_seed(0))
        if "encoder" in self.name:
            seconds = interleaved([lambda: self.run(x), lambda: self.middle(x)], rounds)
        else:
            given = self.to_decode(x)
            seconds = interleaved([lambda: self.run(*given), lambda: self.waveform(*given)], rounds)
        self.found.seconds, self.found.eager = seconds

    def middle(self, x: Float[Tensor, "B 1 L"]) -> Tensor:
        """Return the model's codes of a waveform, or its embedding."""
        return self.model.encode(x)[:, : self.rows] if self.rows else self.model.embed(x)

    def to_decode(self, x: Float[Tensor, "B 1 L"]) -> tuple[Tensor, ...]:
        """Return what the decoder's graph is given for a waveform."""
        speakers = torch.arange(len(x)) % (1 + len(self.model.speakers))
        return self.middle(x), *([speakers] if self.told else [])

    def waveform(self, middle: Tensor, speaker: Tensor | None = None) -> Float[Tensor, "B 1 L"]:
        """Return what the model decodes."""
        if self.speaker is not None:
            speaker = self.model.speaker_index([self.speaker] * len(middle))
        decode = self.model.decode if self.rows else self.model.decode_embedding
        return decode(middle, condition=speaker)


def interleaved(functions: list[Callable[[], Any]], rounds: int) -> list[float]:
    """Return the median seconds of each function, taking turns, so that load hits all alike."""
    times: list[list[float]] = [[] for _ in functions]
    for function in functions:
        function()
    for _ in range(rounds):
        for function, taken in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]
