"""What a folder's figures are of, so that no others are put beside them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from audiovq.autoencoder import Autoencoder
from audiovq.data.manifest import Manifest
from audiovq.errors import CheckpointError, ConfigError
from audiovq.files import atomic_write
from audiovq.prior import TrainedPrior

FORMAT, VERSION = "audiovq.stress", 1


def terms(
    model: Autoencoder,
    manifest: Manifest,
    prior: TrainedPrior | None,
    *,
    split: str | None,
    seed: int,
    measures: Sequence[str],
) -> dict[str, Any]:
    """Return what must stay the same for figures to stand beside each other."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "model": {
            "fingerprint": model.fingerprint(),
            "bottleneck": model.config.bottleneck.name,
            "sample_rate": model.sample_rate,
            "frame_rate": model.frame_rate,
            "codebook_sizes": list(model.codebook_sizes),
        },
        "manifest": {"path": str(manifest.path), "fingerprint": manifest.fingerprint()},
        "split": split or "all",
        "seed": seed,
        "measures": list(measures),
        "prior": None
        if prior is None
        else {"name": prior.about.prior.name, "fingerprint": prior.fingerprint()},
    }


def open_folder(folder: Path, terms: Mapping[str, Any]) -> None:
    """Write down what the folder's figures are of; a prior may come later, or be left out again.

    Raises:
        ConfigError: the folder holds figures of something else.
    """
    path = folder / "stress.json"
    if path.is_file():
        before = read(path)
        if before.get("prior") is not None and terms["prior"] is None:
            terms = {**terms, "prior": before["prior"]}
        for name, value in terms.items():
            old = before.get(name)
            if name == "prior" and old is None:
                continue
            if _plain(old) != _plain(value):
                raise ConfigError(
                    f"{folder} holds figures of another {name}: {_short(old)}, now "
                    f"{_short(value)}; choose another folder with -o"
                )
    atomic_write(path, json.dumps(terms, indent=1) + "\n")


def _plain(value: Any) -> Any:
    """Return what identifies a value: of a manifest or a model its fingerprint."""
    return value.get("fingerprint", value) if isinstance(value, dict) else value


def _short(value: Any) -> str:
    found = _plain(value)
    return found[:12] if isinstance(found, str) else repr(found)


def read(path: Path) -> dict[str, Any]:
    """Return the mapping in a JSON file.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path} ({error}): remove it, or its folder") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} is none of ours: remove it, or choose another folder")
    return found
