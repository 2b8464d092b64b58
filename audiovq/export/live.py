"""Streams of exported models: `model.stream()` by onnxruntime, from a folder of graphs alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, Field, ValidationError, model_validator
from torch import Tensor

from audiovq import inference
from audiovq.errors import AudioError, CheckpointError, ConfigError
from audiovq.export import manifest
from audiovq.export.runtime import OnnxSteps
from audiovq.streaming_base import Closable
from audiovq.streaming_buffer import Buffer

_SIDES = ("encoder_stream", "decoder_stream")


class _Port(BaseModel):
    name: str
    dtype: Literal["float32", "int64"]
    shape: list[int | str] = Field(min_length=1)


class _Graph(BaseModel):
    files: dict[str, str]
    inputs: list[_Port] = Field(min_length=1)
    outputs: list[_Port] = Field(min_length=1)
    states: int = Field(ge=0)


class _About(BaseModel):
    """What is read of `export.json`."""

    format: Literal["audiovq.export"]
    format_version: Literal[1]
    sample_rate: int = Field(gt=0)
    hop_length: int = Field(gt=0)
    codebook_sizes: list[int]
    speakers: list[str]
    graphs: dict[str, _Graph]

    @model_validator(mode="after")
    def _agrees(self) -> "_About":
        encoder = self.graphs.get(_SIDES[0])
        if encoder and encoder.outputs[0].shape[-1] != f"samples / {self.hop_length}":
            raise ValueError(f"hop_length {self.hop_length} is not that of {_SIDES[0]}")
        return self


class Exported:
    """A folder that `audiovq export` wrote.

    Args:
        folder: with `export.json` and ONNX files.
        threads: of onnxruntime.

    Attributes:
        sample_rate: Hz.
        hop_length: samples per frame.
        codebook_sizes: of each row of codes; empty for a continuous model.
        speakers: names that it knows.

    Raises:
        CheckpointError: it is no such folder, damaged, or of another audiovq.
    """

    def __init__(self, folder: str | Path, threads: int = 1) -> None:
        self.folder, self.threads = Path(folder), threads
        about = _read(self.folder / manifest.MANIFEST)
        self.sample_rate, self.hop_length = about.sample_rate, about.hop_length
        self.codebook_sizes, self.speakers = tuple(about.codebook_sizes), tuple(about.speakers[1:])
        self.graphs = about.graphs

    def stream(self, batch: int = 1, *, speaker: str | None = None) -> "ExportedStream":
        """Return what takes samples or codes as they come.

        Raises:
            ConfigError: there are no graphs of streams here, or no such speaker to choose.
            CheckpointError: a file is missing or damaged.
        """
        known = [s for s in _SIDES if s in self.graphs and "onnx" in self.graphs[s].files]
        if not known:
            raise ConfigError(
                f"{self.folder} holds no graphs of streams: export a causal model, such as one of "
                f"autoencoder/rvq_live, with --format onnx"
            )
        row = self._row(speaker)
        return ExportedStream(self, batch, {s: self._steps(s) for s in known}, row)

    def _steps(self, name: str) -> OnnxSteps:
        graph = self.graphs[name]
        path = self.folder / graph.files["onnx"]
        try:
            return OnnxSteps(path, graph.model_dump(), self.threads)
        except ConfigError:  # a package is missing
            raise
        except Exception as error:  # noqa: BLE001  (onnxruntime has a dozen of its own)
            why = str(error).splitlines()[0][:200]
            raise CheckpointError(f"{path} cannot be run ({why}): export the model again") from None

    def _row(self, speaker: str | None) -> int | None:
        """Return the place of a speaker; None for a decoder that is not told."""
        decoder = self.graphs.get(_SIDES[1])
        told = decoder is not None and any(port.name == "speaker" for port in decoder.inputs)
        if speaker is None:
            return 0 if told else None
        if not told:
            raise ConfigError(f"the decoder in {self.folder} is not told who speaks")
        if speaker not in self.speakers:
            shown = ", ".join(self.speakers[:8]) + " ..." * (len(self.speakers) > 8)
            raise ConfigError(f"no speaker {speaker!r} in {self.folder}; there are {shown}")
        return 1 + self.speakers.index(speaker)


class ExportedStream(Closable):
    """Several recordings in lockstep; what comes out is as of `audiovq.streaming.Stream`.

    Whole frames of a call are computed together. All recordings begin anew together.

    Attributes:
        batch: recordings.
        latency: samples, one frame.
    """

    def __init__(
        self,
        exported: Exported,
        batch: int,
        sides: Mapping[str, OnnxSteps],
        speaker: int | None,
    ) -> None:
        if batch < 1:
            raise ConfigError(f"batch={batch} given; at least 1 recording is needed")
        self.exported, self.batch, self.latency = exported, batch, exported.hop_length
        self._sides = sides
        self._others = () if speaker is None else (np.full(batch, speaker, np.int64),)
        self.reset()

    def encode(self, x: Tensor, *, last: bool = False) -> Int[Tensor, "B K _"]:
        """Return the codes that are complete with the next samples (B, 1, L).

        Raises:
            ConfigError: the model is continuous, or the stream is closed.
            AudioError: x is not finite or not of that shape, or comes after the last.
        """
        self._discrete()
        return self._heard(x, last=last)

    def decode(self, codes: Tensor) -> Float[Tensor, "B 1 _"]:
        """Return the samples of the next codes (B, K, T).

        Raises:
            ConfigError: the model is continuous, codes are out of range or not of that shape, or
                the stream is closed.
        """
        self._discrete()
        sizes = self.exported.codebook_sizes
        codes = inference.whole(codes)
        if codes.ndim != 3 or codes.shape[:2] != (self.batch, len(sizes)):
            raise ConfigError(
                f"codes of shape {tuple(codes.shape)} given; ({self.batch}, {len(sizes)}, any "
                f"number) is accepted"
            )
        if codes.shape[-1]:
            inference.check_codes(codes, sizes)
        return self._said(codes)

    def reconstruct(self, x: Tensor, *, last: bool = False) -> Float[Tensor, "B 1 _"]:
        """Return the next samples passed through the whole model; with the last as many as came."""
        y = self._said(self._heard(x, last=last))
        return y[..., : y.shape[-1] - self._buffer.missing]

    def reset(self) -> None:
        """Begin new recordings."""
        self._check_open()
        self._states = {name: side.start(self.batch) for name, side in self._sides.items()}
        self._buffer = Buffer(torch.zeros(self.batch, 1, 0), self.latency)

    def close(self) -> None:
        """Let go of all memory."""
        self._closed, self._states = True, {}
        self._buffer = Buffer(torch.zeros(self.batch, 1, 0), self.latency)

    def _heard(self, x: Tensor, *, last: bool) -> Tensor:
        self._check_open()
        if x.ndim != 3 or x.shape[:2] != (self.batch, 1) or not x.is_floating_point():
            raise AudioError(
                f"samples of shape {tuple(x.shape)} and {x.dtype} given; floats of shape "
                f"({self.batch}, 1, any number) are accepted"
            )
        self._need(_SIDES[0])
        whole = self._buffer.take(inference.finite(x.detach().float().cpu()), last=last)
        return self._step(_SIDES[0], whole)

    def _said(self, given: Tensor) -> Tensor:
        self._check_open()
        self._need(_SIDES[1])
        return self._step(_SIDES[1], given, *self._others)

    def _need(self, name: str) -> None:
        if name not in self._sides:
            raise ConfigError(
                f"{self.exported.folder} holds no {name}.onnx: export the model with both parts "
                f"(--what encoder,decoder), both of them causal"
            )

    def _step(self, name: str, given: Tensor, *others: np.ndarray) -> Tensor:
        side = self._sides[name]
        if not given.shape[-1]:
            return side.nothing(self.batch)
        found, self._states[name] = side(given.numpy(), *others, state=self._states[name])
        return torch.from_numpy(found)

    def _discrete(self) -> None:
        if not self.exported.codebook_sizes:
            raise ConfigError("this model is continuous and has no codes: use reconstruct()")


def is_exported(folder: str | Path) -> bool:
    """Whether a folder holds graphs of `audiovq export`."""
    return (Path(folder) / manifest.MANIFEST).is_file()


def _read(path: Path) -> _About:
    try:
        about = _About.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise CheckpointError(
            f"{path} is not what this audiovq exports ({where}: {first['msg']}): export the model "
            f"again"
        ) from None
    return about
