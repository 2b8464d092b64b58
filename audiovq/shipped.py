"""Models that come with the package: found by name, without a network and without torch."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from audiovq.cards import front

FOLDER = Path(__file__).parent / "_share" / "models"  # in a checkout as in an installed package
_KINDS = {"audiovq.model": "autoencoder", "audiovq.prior": "prior"}


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """What a model that comes with the package is, by its card.

    Attributes:
        name: for `audiovq.load`, and wherever a command takes a model or a prior.
        kind: `autoencoder` or `prior`.
        summary: in one line.
        folder: where it is.
        size: of its files (bytes).
        license: of the weights, as an SPDX id in lower case; "" if the card says none.
        data: what it was trained on.
        sample_rate: of its speech (Hz).
        frame_rate: frames of codes, or of vectors, per second (Hz).
        codebook_sizes: N of each row of codes; empty for a continuous model.
        bitrate: nominal bits per second; None for a continuous model.
        parameters: scalars that training changes.
        fingerprint: of the model.
        model: of a prior: name of the model whose codes it is of.
        model_hash: of a prior: that model's fingerprint.
    """

    name: str
    kind: str
    summary: str
    folder: Path
    size: int
    license: str
    data: str
    sample_rate: int
    frame_rate: float
    codebook_sizes: tuple[int, ...]
    bitrate: float | None
    parameters: int
    fingerprint: str
    model: str
    model_hash: str

    def __str__(self) -> str:
        facts = [
            self.kind,
            "continuous" if self.bitrate is None else f"{self.bitrate:g} bit/s",
            self.data,
            f"{self.size / 1e6:.1f} MB",
        ]
        return f"{self.name}  {self.summary} ({'; '.join(f for f in facts if f)})"


def models() -> dict[str, Shipped]:
    """Return what comes with the package, by name.

    Raises:
        CheckpointError: a card is damaged.
    """
    return {name: _describe(FOLDER / name) for name in names()}


def names(kind: str | None = None) -> list[str]:
    """Return the names of what comes with the package, sorted; of one kind, or of all."""
    if not FOLDER.is_dir():
        return []
    found = sorted(p.parent.name for p in FOLDER.glob("*/config.json"))
    return [n for n in found if kind in {None, kind_of(FOLDER / n)}]


def is_name(text: str) -> bool:
    """Return whether a text means a model that comes with the package, and no path."""
    return not os.path.exists(text) and text in names()  # noqa: PTH110  (no error for odd names)


def places(path: Path) -> list[Path]:
    """Return the folders that a path or a name may mean, in the order to look in."""
    named = [FOLDER / str(path)] if is_name(str(path)) else []
    return [path, path / "model", *named]


def kind_of(folder: Path) -> str:
    """Return `autoencoder` or `prior`, by the config in a folder; "" if it is neither."""
    try:
        about = json.loads((folder / "config.json").read_text("utf-8"))
        return _KINDS[about["format"]]
    except (ValueError, KeyError, TypeError, OSError, RecursionError):
        return ""


def _describe(folder: Path) -> Shipped:
    card = front.read(folder)
    about = card.audiovq
    return Shipped(
        name=folder.name,
        kind=kind_of(folder),
        folder=folder,
        size=sum(p.stat().st_size for p in folder.iterdir() if p.is_file()),
        license=card.license,
        **about.model_dump(exclude={"kind", "storage", "name"}),
    )
