"""Encoder and decoder as modules of tensors alone, with named axes, for exporters.

Every tensor is (batch, channels, time) but `speaker`, (batch). Items of a batch are equally long,
for graphs take no masks. The streaming ones take a block of whole frames and the state that the
block before gave, and give the new state as well; the first state is all zeros.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from audiovq.bottlenecks._base import Bottleneck, Context, DiscreteBottleneck

if TYPE_CHECKING:
    from audiovq.autoencoder import Autoencoder

EXAMPLE = {"batch": 2, "frames": 3}  # not 1, which exporters take for a constant

Axis = int | str  # a size, the name of an axis that may have any, or what it is computed by


@dataclass(frozen=True)
class Port:
    """A tensor that goes into a graph or comes out of it.

    Attributes:
        name: by which runtimes know it.
        dtype: `float32` or `int64`.
        shape: sizes; `batch`, `samples` and `frames` are free, and others follow from them.
    """

    name: str
    dtype: str
    shape: tuple[Axis, ...]


@dataclass(frozen=True)
class Graph:
    """A part of a model that can be exported.

    Attributes:
        name: of its files.
        module: takes `inputs` and returns `outputs`, the state of a stream as one tuple.
        inputs: what goes in.
        outputs: what comes out.
        example: inputs, as the module takes them.
        least: the free axes, each with the least size that a program of torch.export takes; ONNX
            also takes 1.
        states: how many of inputs, and of outputs, are a stream's state; they come last.
    """

    name: str
    module: nn.Module
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    example: tuple[Any, ...]
    least: Mapping[str, int]
    states: int = 0


class Encode(nn.Module):
    """Waveform to codes, or of a continuous model to what the decoder receives."""

    def __init__(self, model: "Autoencoder", rows: int) -> None:
        super().__init__()
        self.encoder, self.bottleneck = model.encoder, model.bottleneck
        self.hop_length, self.rows = model.hop_length, rows

    def forward(self, waveform: Float[Tensor, "B 1 L"]) -> Shaped[Tensor, "B C T"]:
        """Encode; what is missing of the last frame is silence."""
        # Padding by a number of samples that depends on their number fixes that number in a
        # program of torch.export; indices of which the last ones point at a zero do not.
        samples = waveform.shape[-1]
        frames = (samples + self.hop_length - 1) // self.hop_length
        at = torch.arange(frames * self.hop_length).clamp_max(samples)
        whole = F.pad(waveform, (0, 1)).index_select(-1, at)
        return _looked_up(self.bottleneck, self.encoder(whole), self.rows)


class Decode(nn.Module):
    """Codes, or what `Encode` of a continuous model returns, to a waveform.

    Buffers:
        row (): of the speaker who is heard where no input says it; 0: anyone.
    """

    row: Int[Tensor, ""]

    def __init__(self, model: "Autoencoder", row: int) -> None:
        super().__init__()
        self.bottleneck, self.decoder = model.bottleneck, model.decoder
        self.register_buffer("row", torch.tensor(row))

    def forward(
        self, given: Shaped[Tensor, "B C T"], speaker: Int[Tensor, "B"] | None = None
    ) -> Float[Tensor, "B 1 L"]:
        """Decode T frames to T * hop_length samples."""
        context = Context(condition=self.row.expand(given.shape[0]) if speaker is None else speaker)
        return self.decoder(vectors(self.bottleneck, given), context)  # type: ignore[no-any-return]


def _looked_up(
    bottleneck: Bottleneck, z_e: Float[Tensor, "B C T"], rows: int
) -> Shaped[Tensor, "B K Tk"]:
    if isinstance(bottleneck, DiscreteBottleneck):
        return bottleneck.encode(z_e)[:, :rows]
    return bottleneck.embed(z_e, Context())


def vectors(bottleneck: Bottleneck, given: Shaped[Tensor, "B C T"]) -> Float[Tensor, "B D T"]:
    """Return what a decoder is given: the vectors of codes, or vectors as they are."""
    return bottleneck.decode(given) if isinstance(bottleneck, DiscreteBottleneck) else given


def encoder(model: "Autoencoder", rows: int) -> Graph:
    """Return the graph of a model's encoder and bottleneck; the model is one of `parts.plain`."""
    hop = model.hop_length
    x = torch.zeros(EXAMPLE["batch"], 1, EXAMPLE["frames"] * hop - hop // 2)
    return Graph(
        "encoder",
        Encode(model, rows),
        (Port("waveform", "float32", ("batch", 1, "samples")),),
        (middle(model, rows, f"ceil(samples / {hop})"),),
        (x,),
        {"batch": 1, "samples": hop + 1},
    )


def decoder(model: "Autoencoder", rows: int, speaker: str | None) -> Graph:
    """Return the graph of a model's decoder; the model is one of `parts.plain`."""
    row, told = speaker_of(model, speaker)
    given = middle(model, rows, "frames")
    return Graph(
        "decoder",
        Decode(model, row),
        (given, *([Port("speaker", "int64", ("batch",))] if told else [])),
        (Port("waveform", "float32", ("batch", 1, f"{model.hop_length} * frames")),),
        (example(given), *([torch.zeros(EXAMPLE["batch"], dtype=torch.int64)] if told else [])),
        {"batch": 1, "frames": 2},
    )


def speaker_of(model: "Autoencoder", speaker: str | None) -> tuple[int, bool]:
    """Return the table's row of a speaker, and whether an input says who it is instead."""
    if speaker is None:
        return 0, bool(model.speakers)
    return int(model.speaker_index([speaker])[0]), False


def middle(model: "Autoencoder", rows: int, frames: str) -> Port:
    """Return what stands between encoder and decoder."""
    if model.is_discrete:
        return Port("codes", "int64", ("batch", rows, frames))
    return Port("embedding", "float32", ("batch", rows, frames))


def example(port: Port) -> Tensor:
    """Return zeros that fit a port."""
    sizes = [EXAMPLE[axis] if isinstance(axis, str) else axis for axis in port.shape]
    return torch.zeros(sizes, dtype=getattr(torch, port.dtype))
