"""Decoded codes beside the audio they are of: how far one is from the other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor
from tqdm import tqdm

from audiovq.data.manifest import Manifest, Record
from audiovq.errors import AudioError, CheckpointError, ManifestError
from audiovq.units.sequences import CodeSequences


@runtime_checkable
class Decodes(Protocol):
    """A model that turns codes into waveforms."""

    sample_rate: int

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names of the speakers the decoder can be given."""

    def speaker_index(
        self, names: Sequence[str | None], *, strict: bool = True
    ) -> Int[Tensor, "B"]:
        """Return the `condition` for speakers by name."""

    def decode(
        self,
        codes: Int[Tensor, "B K T"],
        length: int | None = None,
        condition: Int[Tensor, "B"] | None = None,
    ) -> Float[Tensor, "B 1 L"]:
        """Return the waveforms of codes."""

    def fingerprint(self) -> str:
        """Return what tells the model from all others."""

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """Yield the parameters, which say on which device the model is."""


@dataclass(frozen=True)
class Residuals:
    """How far decoded utterances are from the audio.

    Attributes:
        samples: of each utterance.
        absolute: sum of |x - x_hat| over each.
        squared: sum of (x - x_hat)^2 over each.
    """

    samples: Float64[np.ndarray, "U"]
    absolute: Float64[np.ndarray, "U"]
    squared: Float64[np.ndarray, "U"]


def check(model: Decodes, manifest: Manifest, sequences: CodeSequences, where: str) -> None:
    """Look whether model and corpus are those that the codes are of.

    Raises:
        CheckpointError: the model is another.
        ManifestError: the corpus lacks an utterance, or has one of another length.
    """
    mine, theirs = model.fingerprint(), sequences.metadata.model_hash
    if mine != theirs:
        raise CheckpointError(
            f"{where} holds codes of the model {theirs[:12]}, and --model is {mine[:12]}: give the "
            f"model that made them"
        )
    records = {r.id: r for r in manifest.records}
    for name, samples in zip(sequences.ids, sequences.samples.tolist(), strict=True):
        if name not in records:
            raise ManifestError(
                f"{manifest.path} has no utterance {name!r}, of which {where} holds codes: give "
                f"the manifest they were extracted from"
            )
        if (there := records[name].samples_at(model.sample_rate)) != samples:
            raise ManifestError(
                f"{manifest.path}: {name!r} has {there} samples at {model.sample_rate} Hz, and "
                f"{samples} in {where}: give the manifest they were extracted from"
            )


def residuals(
    model: Decodes, manifest: Manifest, sequences: CodeSequences, *, progress: bool = False
) -> tuple[Residuals, Residuals]:
    """Decode every utterance's codes and compare the sound, and silence, with the audio.

    Utterances are decoded one by one; the audio goes by in blocks. A decoder that takes speakers
    is told those it knows.

    Raises:
        AudioError: a recording cannot be read, or is not as long as its codes say.
    """
    records = {r.id: r for r in manifest.records}
    found = np.zeros((5, len(sequences)))
    bar = tqdm(range(len(sequences)), desc="decoding", unit="utt", disable=not progress)
    for i in bar:
        name = sequences.ids[i]
        codes, samples = sequences.codes[i].long(), int(sequences.samples[i])
        x_hat = _decoded(model, codes, samples, sequences.speakers[i])
        found[:, i] = _compare(x_hat, manifest, records[name], model.sample_rate)
    return Residuals(*found[:3]), Residuals(found[0], *found[3:])


def _decoded(
    model: Decodes, codes: Int[Tensor, "K T"], samples: int, speaker: str | None
) -> Float[Tensor, "1 1 L"]:
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    condition = model.speaker_index([speaker], strict=False) if model.speakers else None
    with torch.no_grad():
        return model.decode(codes[None].to(device), samples, condition).cpu()


def _compare(
    x_hat: Float[Tensor, "1 1 L"], manifest: Manifest, record: Record, sample_rate: int
) -> Float64[np.ndarray, "5"]:
    """Return the number of samples, and sums of |x - x_hat|, its square, |x| and its square."""
    start, sums = 0, np.zeros(4)
    for block in manifest.blocks(record, sample_rate):
        end = start + block.shape[-1]
        if end > x_hat.shape[-1]:
            break
        x = block.double()
        rest = x - x_hat[..., start:end]
        sums += [float(s.sum()) for s in (rest.abs(), rest.square(), x.abs(), x.square())]
        start = end
    if start != x_hat.shape[-1]:
        raise AudioError(
            f"{manifest.file(record)} has not the {x_hat.shape[-1]} samples at {sample_rate} Hz "
            f"that {record.id!r} has codes for: prepare and extract again"
        )
    if not np.isfinite(sums).all():
        raise AudioError(f"{manifest.file(record)}, or what is decoded for it, holds NaN")
    return np.array([start, *sums])
