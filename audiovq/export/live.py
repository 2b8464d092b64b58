"""Streams of exported models: `model.stream()` by onnxruntime, from a folder of graphs alone."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from audiovq import inference
from audiovq.errors import AudioError, CheckpointError, ConfigError
from audiovq.export import manifest
from audiovq.export.runtime import OnnxSteps
from audiovq.streaming_buffer import Buffer

_SIDES = ("encoder_stream", "decoder_stream")


class Exported:
    """A folder that `audiovq export` wrote.

    Attributes:
        sample_rate: Hz.
        codebook_sizes: of each row of codes; empty for a continuous model.
        speakers: names that it knows.

    Raises:
        CheckpointError: it is no such folder, or of a later audiovq.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.about = _read(self.folder / manifest.MANIFEST)
        self.sample_rate: int = self.about["sample_rate"]
        self.codebook_sizes: tuple[int, ...] = tuple(self.about["codebook_sizes"])
        self.speakers: tuple[str, ...] = tuple(self.about["speakers"][1:])

    def stream(
        self, batch: int = 1, *, speaker: str | None = None, threads: int = 1
    ) -> "ExportedStream":
        """Return what takes samples or codes as they come; see `Autoencoder.stream`.

        Raises:
            ConfigError: there are no graphs of streams here, or no such speaker to choose.
        """
        missing = [s for s in _SIDES if "onnx" not in self._graph(s).get("files", {})]
        if missing:
            raise ConfigError(
                f"{self.folder} holds no {' and no '.join(f'{s}.onnx' for s in missing)}: export a "
                f"causal model, such as one of autoencoder/rvq_live, with --format onnx"
            )
        row = self._row(speaker)
        sides = [
            OnnxSteps(self.folder / self._graph(s)["files"]["onnx"], self._graph(s), threads)
            for s in _SIDES
        ]
        return ExportedStream(self, batch, sides[0], sides[1], row)

    def _graph(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.about["graphs"].get(name, {})
        return found

    def _row(self, speaker: str | None) -> int | None:
        """Return the place of a speaker; None for a decoder that is not told."""
        told = any(port["name"] == "speaker" for port in self._graph(_SIDES[1])["inputs"])
        if speaker is None:
            return 0 if told else None
        if not told:
            raise ConfigError(f"the decoder in {self.folder} is not told who speaks")
        if speaker not in self.speakers:
            shown = ", ".join(self.speakers[:8])
            raise ConfigError(f"no speaker {speaker!r} in {self.folder}; there are {shown} ...")
        return 1 + self.speakers.index(speaker)


class ExportedStream:
    """Several recordings in lockstep; what comes out is as of `audiovq.streaming.Stream`.

    Whole frames of a call are computed together.

    Attributes:
        batch: recordings.
        latency: samples, one frame.
    """

    def __init__(
        self,
        exported: Exported,
        batch: int,
        encoder: OnnxSteps,
        decoder: OnnxSteps,
        speaker: int | None,
    ) -> None:
        if batch < 1:
            raise ConfigError(f"batch={batch} given; at least 1 recording is needed")
        self.exported, self.batch = exported, batch
        self.latency: int = exported.about["hop_length"]
        self._encoder, self._decoder = encoder, decoder
        self._others = () if speaker is None else (np.full(batch, speaker, np.int64),)
        self._closed = False
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
        self._states = [side.start(self.batch) for side in (self._encoder, self._decoder)]
        self._buffer = Buffer(torch.zeros(self.batch, 1, 0), self.latency)

    def close(self) -> None:
        """Let go of all memory."""
        self._closed, self._states = True, []

    def __enter__(self) -> "ExportedStream":  # noqa: PYI034  (beartype refuses Self here)
        self._check_open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def _heard(self, x: Tensor, *, last: bool) -> Tensor:
        self._check_open()
        if x.ndim != 3 or x.shape[:2] != (self.batch, 1) or not x.is_floating_point():
            raise AudioError(
                f"samples of shape {tuple(x.shape)} and {x.dtype} given; floats of shape "
                f"({self.batch}, 1, any number) are accepted"
            )
        whole = self._buffer.take(inference.finite(x.float().cpu()), last=last)
        return self._step(0, self._encoder, whole)

    def _said(self, given: Tensor) -> Tensor:
        self._check_open()
        return self._step(1, self._decoder, given, *self._others)

    def _step(self, place: int, side: OnnxSteps, given: Tensor, *others: np.ndarray) -> Tensor:
        if not given.shape[-1]:
            return side.nothing(self.batch)
        found, self._states[place] = side(given.numpy(), *others, state=self._states[place])
        return torch.from_numpy(found)

    def _discrete(self) -> None:
        if not self.exported.codebook_sizes:
            raise ConfigError("this model is continuous and has no codes")

    def _check_open(self) -> None:
        if self._closed:
            raise ConfigError("this stream is closed; open another")


def is_exported(folder: str | Path) -> bool:
    """Whether a folder holds graphs of `audiovq export`."""
    return (Path(folder) / manifest.MANIFEST).is_file()


def _read(path: Path) -> Mapping[str, Any]:
    try:
        about = json.loads(path.read_text("utf-8"))
        kind = (about["format"], about["format_version"])
        if kind == manifest.KIND:
            needed = ("sample_rate", "hop_length", "codebook_sizes", "speakers", "graphs")
            about = {key: about[key] for key in needed}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be read as an export: {error}") from None
    if kind != manifest.KIND:
        raise CheckpointError(f"{path} is of {kind[0]} {kind[1]}; {manifest.KIND} is read here")
    found: Mapping[str, Any] = about
    return found
