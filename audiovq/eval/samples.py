"""Speech drawn from a prior, as a folder: `NAME.wav`, and `NAME.json` for what it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Float64, Int
from pydantic import Field
from torch import Tensor

from audiovq import audio, release
from audiovq import config as configs
from audiovq.config import Config
from audiovq.data.manifest import Manifest
from audiovq.errors import CheckpointError, ManifestError
from audiovq.eval import surprise
from audiovq.files import atomic_write
from audiovq.prior._base import Condition
from audiovq.prior._release import TrainedPrior
from audiovq.units.sequences import CodeSequences

FORMAT, VERSION = "audiovq.sample", 1
_SHOWN = (
    "prompt", "utterance", "label", "temperature", "top_k", "top_p", "guidance", "seed", "item",
)  # fmt: skip
_MIGRATIONS: release.Migrations = {}


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Sound, and how surprising its codes are under a prior.

    Attributes:
        title: what it is.
        x: the sound.
        sample_rate: Hz.
        hop_length: samples per frame of codes.
        bits: surprise of each code.
        prompt: frames at its beginning that were given, not drawn.
        text: how it came about.
        priors: how many priors drew it, each a part of the codes.
    """

    title: str
    x: Float[Tensor, "1 1 L"]
    sample_rate: int
    hop_length: int
    bits: Float64[np.ndarray, "K T"]
    prompt: int = 0
    text: str = ""
    priors: int = 1


class Sample(Config):
    """What `NAME.json` holds."""

    format: Literal["audiovq.sample"] = "audiovq.sample"
    format_version: int = VERSION
    prior: str = Field(description="fingerprint of the prior, or of each in turn")
    model: str = Field(description="fingerprint of the autoencoder")
    sample_rate: int = Field(ge=1, le=1 << 20, description="Hz")
    hop_length: int = Field(ge=1, le=1 << 24, description="samples per frame")
    prompt_frames: int = Field(0, ge=0, description="frames that were given, not drawn")
    settings: Mapping[str, str | int | float | None] = Field(description="how it was drawn")
    codes: tuple[tuple[int, ...], ...] = Field(min_length=1, description="K rows of T")
    bits: tuple[tuple[float, ...], ...] = Field(min_length=1, description="surprise of each code")


@dataclass(frozen=True)
class Drawn:
    """What was drawn.

    Attributes:
        codes: of the whole piece.
        x: its sound.
        prompt: how many frames at its beginning were given.
    """

    codes: Int[Tensor, "K T"]
    x: Float[Tensor, "1 1 L"]
    prompt: int = 0


def write(
    path: Path,
    priors: Sequence[TrainedPrior],
    drawn: Drawn,
    settings: Mapping[str, str | int | float | None],
    given: Sequence[Condition] = (),
) -> Piece:
    """Write a drawn piece: its sound, and what it is.

    Args:
        path: the wav file; the JSON file goes beside it.
        priors: what it was drawn from, in their order, in eval mode.
        drawn: the piece.
        settings: how it was drawn; `label` is told to the priors.
        given: what else each prior was told.
    """
    label = settings.get("label")
    name = None if label is None else str(label)
    found = surprise.of_drawn(priors, drawn.codes, name, given)
    of, part = priors[0].about.codes, priors[0].about.part
    sample = Sample(
        prior=", ".join(p.fingerprint() for p in priors),
        model=of.model_hash,
        sample_rate=of.sample_rate,
        hop_length=of.hop_length * (1 if part is None else part.ratio),
        prompt_frames=drawn.prompt,
        settings=dict(settings),
        codes=tuple(map(tuple, drawn.codes.tolist())),
        bits=tuple(map(tuple, found.round(4).tolist())),
    )
    about = path.with_suffix(".json")
    about.unlink(missing_ok=True)  # never beside the sound of another
    audio.save(path, drawn.x, of.sample_rate)
    atomic_write(about, sample.model_dump_json(exclude_none=True))
    return _piece(about, sample, drawn.x)


def read(folder: Path) -> list[Piece]:
    """Read every piece of a folder that has both files; none if there is no such folder.

    Raises:
        AudioError: a sound cannot be read.
        CheckpointError: what describes one is damaged, or of another version.
        ConfigError: a value in it is not accepted.
    """
    paths = [p for p in sorted(folder.glob("*.json")) if p.with_suffix(".wav").is_file()]
    return [_read(p) for p in paths]


def recordings(
    trained: TrainedPrior, sequences: CodeSequences, manifest: Manifest, number: int = 6
) -> list[Piece]:
    """Return real recordings, spread evenly over the utterances, with the surprise of their codes.

    Raises:
        AudioError: a recording cannot be read.
        ManifestError: the manifest does not name it.
    """
    chosen, rate = sequences.spread(number), sequences.metadata.sample_rate
    records = {r.id: r for r in manifest.records}
    costs, pieces = surprise.of_each(trained, chosen), []
    for name, speaker, found in zip(chosen.ids, chosen.speakers, costs, strict=True):
        if name not in records:
            raise ManifestError(
                f"{manifest.path} has no utterance {name!r}: give the codes' manifest"
            )
        pieces.append(
            Piece(
                title=name,
                x=manifest.load(records[name], rate),
                sample_rate=rate,
                hop_length=sequences.metadata.hop_length,
                bits=found,
                text="" if speaker is None else f"speaker {speaker}",
            )
        )
    return pieces


def costs(piece: Piece) -> str:
    """Return bits per code in words: of what was drawn, and of the prompt apart from it."""
    drawn = f"{piece.bits[:, piece.prompt :].mean():.2f} bits per code"
    if not piece.prompt:
        return drawn
    given = piece.bits[:, : piece.prompt].mean()
    seconds = piece.prompt * piece.hop_length / piece.sample_rate
    return f"{drawn} after a prompt of {seconds:.2f} s at {given:.2f}"


def _read(path: Path) -> Piece:
    values = release.read_config(path, FORMAT, VERSION, _MIGRATIONS)
    sample = configs.parse(Sample, values, str(path))
    return _piece(path, sample, audio.load(path.with_suffix(".wav"), sample.sample_rate))


def _piece(path: Path, sample: Sample, x: Float[Tensor, "1 1 L"]) -> Piece:
    if not sample.bits[0] or len({len(row) for row in sample.bits}) > 1:
        raise CheckpointError(f"{path} is damaged: its rows of codes differ in length or are empty")
    found = np.array(sample.bits, np.float64)
    shown = {k: v for k in _SHOWN if (v := sample.settings.get(k)) is not None}
    if shown.get("guidance") == 1.0:  # none
        del shown["guidance"]
    return Piece(
        title=path.stem,
        x=x,
        sample_rate=sample.sample_rate,
        hop_length=sample.hop_length,
        bits=found,
        prompt=min(sample.prompt_frames, found.shape[1] - 1),
        text=", ".join(f"{k.replace('_', '-')} {v}" for k, v in shown.items()),
        priors=sample.prior.count(",") + 1,
    )
