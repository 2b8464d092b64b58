"""Graphs of a causal model a block at a time, their state as inputs and outputs."""

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from audiovq import streaming_steps as steps
from audiovq.bottlenecks._base import DiscreteBottleneck
from audiovq.errors import ConfigError
from audiovq.export.graphs import (
    EXAMPLE,
    Axis,
    Graph,
    Port,
    example,
    middle,
    speaker_of,
    vectors,
)
from audiovq.nn.stepping import State

if TYPE_CHECKING:
    from audiovq.autoencoder import Autoencoder

_LATENT = {"encoder": ("encoder", "bottleneck"), "decoder": ("decoder",)}


def refusal(model: "Autoencoder", part: str) -> str:
    """Return why a part of a model cannot stream; "" if it can."""
    try:
        steps.check(model, _LATENT[part])
    except ConfigError as error:
        return str(error)
    return ""


class EncodeStep(nn.Module):
    """The next whole frames of a waveform to codes, or to what the decoder receives."""

    def __init__(self, model: "Autoencoder", rows: int) -> None:
        super().__init__()
        self.model, self.rows = model, rows

    def forward(
        self, waveform: Float[Tensor, "B 1 L"], state: State
    ) -> tuple[Shaped[Tensor, "B C T"], State]:
        """Encode; samples beyond whole frames are ignored."""
        hop = self.model.hop_length
        # By indices, as in `Encode`: a number of samples that must divide would be fixed.
        x = waveform.index_select(-1, torch.arange(waveform.shape[-1] // hop * hop))
        if isinstance(self.model.bottleneck, DiscreteBottleneck):
            codes, state = steps.encode(self.model, x, state)
            return codes[:, : self.rows], state
        return steps.embed(self.model, x, state)


class DecodeStep(nn.Module):
    """The next codes, or what `EncodeStep` gives of a continuous model, to samples.

    Buffers:
        row (): of the speaker who is heard; 0: anyone.
    """

    row: Int[Tensor, ""]

    def __init__(self, model: "Autoencoder", row: int) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("row", torch.tensor(row))

    def forward(
        self, given: Shaped[Tensor, "B C T"], state: State
    ) -> tuple[Float[Tensor, "B 1 L"], State]:
        """Decode T frames to T * hop_length samples."""
        return self.spoken(given, self.row.expand(given.shape[0]), state)

    def spoken(
        self, given: Shaped[Tensor, "B C T"], speaker: Int[Tensor, "B"], state: State
    ) -> tuple[Float[Tensor, "B 1 L"], State]:
        """Decode as heard from a speaker."""
        return steps.decode(self.model, vectors(self.model.bottleneck, given), state, speaker)


class DecodeSpokenStep(DecodeStep):
    """`DecodeStep` with an input that says who is heard."""

    def forward(  # type: ignore[override]
        self, given: Shaped[Tensor, "B C T"], speaker: Int[Tensor, "B"], state: State
    ) -> tuple[Float[Tensor, "B 1 L"], State]:
        """Decode T frames to T * hop_length samples."""
        return self.spoken(given, speaker, state)


def encoder(model: "Autoencoder", rows: int) -> Graph:
    """Return the graph of a causal encoder's step; the model is one of `parts.plain`."""
    hop, batch = model.hop_length, EXAMPLE["batch"]
    waveform = Port("waveform", "float32", ("batch", 1, "samples"))
    whole = Graph(
        "encoder_stream",
        EncodeStep(model, rows),
        (waveform,),
        (middle(model, rows, f"samples / {hop}"),),
        (torch.zeros(batch, 1, EXAMPLE["frames"] * hop),),
        {"batch": 1, "samples": 1},
    )
    return _with_state(whole, steps.encoder_state(model, batch, torch.zeros(())))


def decoder(model: "Autoencoder", rows: int, speaker: str | None) -> Graph:
    """Return the graph of a causal decoder's step; the model is one of `parts.plain`."""
    row, told = speaker_of(model, speaker)
    given = (middle(model, rows, "frames"), *([Port("speaker", "int64", ("batch",))] * told))
    whole = Graph(
        "decoder_stream",
        (DecodeSpokenStep if told else DecodeStep)(model, row),
        given,
        (Port("waveform", "float32", ("batch", 1, f"{model.hop_length} * frames")),),
        tuple(map(example, given)),
        {"batch": 1, "frames": 1},
    )
    return _with_state(whole, steps.decoder_state(model, EXAMPLE["batch"], torch.zeros(())))


def _with_state(graph: Graph, state: State) -> Graph:
    """Return a graph with a state behind what goes in and what comes out."""
    shapes: list[tuple[Axis, ...]] = [("batch", *s.shape[1:]) for s in state]
    before = (Port(f"state_{i}", "float32", shape) for i, shape in enumerate(shapes))
    after = (Port(f"new_state_{i}", "float32", shape) for i, shape in enumerate(shapes))
    return replace(
        graph,
        inputs=(*graph.inputs, *before),
        outputs=(*graph.outputs, *after),
        example=(*graph.example, state),
        states=len(state),
    )
