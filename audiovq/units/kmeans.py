"""k-means over features: the centres, what they were fitted on, and the folder that keeps them.

A folder holds `kmeans.safetensors` (centres, mean, scale: plain arrays) and `kmeans.json`, which
is written last and carries the checksum of the arrays.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from jaxtyping import Float, Int
from pydantic import Field, ValidationError
from torch import Tensor
from torch.nn import functional as F

from audiovq.bottlenecks._codebook import listening, nearest
from audiovq.config import Config
from audiovq.errors import CheckpointError
from audiovq.files import atomic_write
from audiovq.units.features._base import Features

FORMAT, VERSION = "audiovq.kmeans", 1
ARRAYS, ABOUT = "kmeans.safetensors", "kmeans.json"
_ROWS = (
    256  # searched at a time, always: how a row's sums are rounded depends on how many there are
)


class About(Config):
    """What `kmeans.json` holds: how the centres came about."""

    format: str = FORMAT
    version: int = VERSION
    label: str = Field(description="of the features")
    features: str = Field(description="fingerprint of the features")
    sample_rate: int = Field(ge=1, description="of the waveforms (Hz)")
    hop_length: int = Field(ge=1, description="samples per frame")
    dim: int = Field(ge=1, description="values per frame")
    size: int = Field(ge=1, description="number of centres N")
    seed: int = Field(description="of the sample and the first centres")
    manifest_hash: str = Field(description="fingerprint of the corpus")
    split: str | None = Field(description="of the corpus; null: all of it")
    most_frames: int = Field(ge=1, description="frames to cluster, at most")
    most_iterations: int = Field(ge=1, description="iterations, at most")
    frames: int = Field(0, ge=0, description="frames the corpus has")
    clustered: int = Field(0, ge=0, description="frames clustered")
    iterations: int = Field(0, ge=0, description="iterations until it stood still")
    inertia: float = Field(0.0, ge=0, description="mean squared distance to the nearest centre")
    empty: int = Field(0, ge=0, description="centres that no clustered frame is nearest to")
    rejected: dict[str, str] = Field({}, description="recordings that could not be used, and why")
    software: dict[str, str] = Field({}, description="versions that made the centres")
    sha256: str = Field("", description="checksum of the arrays")


@dataclass(frozen=True)
class KMeans:
    """Centres, and the space they lie in: (feature - mean) / scale.

    The mean is taken off because distances are then computed with fewer cancelling digits; the
    scale is 1 unless the features ask to be standardised.
    """

    centres: Float[Tensor, "N D"]
    mean: Float[Tensor, "D"]
    scale: Float[Tensor, "D"]
    about: About

    def assign(self, features: Float[Tensor, "T D"]) -> Int[Tensor, "T"]:
        """Return the nearest centre of every frame; ties go to the lowest index.

        A frame's code is the same whichever frames are assigned together with it.
        """
        device = features.device
        centres, mean, scale = (t.to(device) for t in (self.centres, self.mean, self.scale))
        codes = torch.empty(len(features), dtype=torch.int64, device=device)
        for i in range(0, len(features), _ROWS):
            rows = (features[i : i + _ROWS].float() - mean) / scale
            codes[i : i + _ROWS] = nearest(F.pad(rows, (0, 0, 0, _ROWS - len(rows))), centres)[
                : len(rows)
            ]
        return codes

    def margins(self, features: Float[Tensor, "T D"]) -> Float[Tensor, "T"]:
        """Return the relative change of each frame that would give it another centre."""
        with listening() as heard:
            nearest((features.float().cpu() - self.mean) / self.scale, self.centres)
        return torch.cat(heard)

    def fingerprint(self) -> str:
        """Return a SHA-256 of features and centres."""
        return hashlib.sha256((self.about.features + _digest(self._arrays())).encode()).hexdigest()

    def save(self, folder: Path) -> None:
        """Write the folder, each file in one step, the description last."""
        arrays = self._arrays()
        about = self.about.model_copy(update={"sha256": _digest(arrays)})
        atomic_write(folder / ARRAYS, safetensors.torch.save(arrays))
        text = json.dumps(about.model_dump(mode="json"), indent=2, ensure_ascii=False)
        atomic_write(folder / ABOUT, text + "\n")

    def _arrays(self) -> dict[str, Tensor]:
        arrays = {"centres": self.centres, "mean": self.mean, "scale": self.scale}
        return {name: value.cpu().contiguous() for name, value in arrays.items()}


def load(folder: str | Path, features: Features | None = None) -> KMeans:
    """Read a folder of k-means.

    Args:
        folder: what `fit` wrote.
        features: what it will be used on; None: whatever it is for.

    Raises:
        CheckpointError: there is none, it is damaged, or it is of other features.
    """
    folder = Path(folder)
    about = read_about(folder)
    if about is None:
        raise CheckpointError(
            f"no finished k-means at {folder}: a folder with {ARRAYS} and {ABOUT} is accepted, "
            f"such as the `kmeans` folder of units made with --kmeans N"
        )
    if features is not None and features.fingerprint() != about.features:
        raise CheckpointError(
            f"{folder} holds k-means of {about.label} ({about.sample_rate} Hz, hop "
            f"{about.hop_length}), not of these {features.label} features ({features.sample_rate} "
            f"Hz, hop {features.hop_length}): give the model it was fitted on, or fit again with "
            f"--kmeans {about.size}"
        )
    try:
        arrays = safetensors.torch.load((folder / ARRAYS).read_bytes())
        kmeans = KMeans(arrays["centres"], arrays["mean"], arrays["scale"], about)
        whole = _digest(arrays) == about.sha256 and kmeans.centres.shape == (about.size, about.dim)
    except (OSError, KeyError, safetensors.SafetensorError, ValueError) as error:
        raise CheckpointError(f"{folder / ARRAYS} is damaged: {error}; fit again") from None
    if not whole:
        raise CheckpointError(f"{folder / ARRAYS} is damaged: its checksum differs; fit again")
    return kmeans


def read_about(folder: Path) -> About | None:
    """Return the validated `kmeans.json`; None where there is none."""
    path = folder / ABOUT
    if not path.is_file():
        return None
    try:
        about = About.model_validate_json(path.read_text("utf-8"))
    except (ValidationError, ValueError, OSError) as error:
        first = str(error).splitlines()[0]
        raise CheckpointError(f"{path} is damaged: {first}; delete {folder}, fit again") from None
    if (about.format, about.version) != (FORMAT, VERSION):
        raise CheckpointError(
            f"{path} is of {about.format!r} version {about.version}; this audiovq reads "
            f"{FORMAT!r} version {VERSION}"
        )
    return about


def _digest(arrays: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(arrays.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()
