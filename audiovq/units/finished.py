"""Whether what is asked for has been extracted already: decided from files, without torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audiovq.files import sha256
from audiovq.units.metadata import VECTORS, Metadata, Shard, read_metadata
from audiovq.units.parts import pending

_MODEL_FILES = ("config.json", "model.safetensors")


def request(model: str | Path, manifest: str | Path) -> dict[str, str]:
    """Return checksums of a model folder's and a manifest's files; empty if one is not there.

    Equal checksums mean an equal model and corpus; different ones may still do (a manifest's
    header can change), which is for `extract` to find out.
    """
    found: dict[str, str] = {}
    for folder in (Path(model), Path(model) / "model"):
        if all((folder / name).is_file() for name in _MODEL_FILES):
            found = {f"model/{name}": sha256(folder / name) for name in _MODEL_FILES}
            break
    if not found or not Path(manifest).is_file():
        return {}
    return found | {"manifest": sha256(Path(manifest))}


def finished(out: Path, asked: Mapping[str, str], **settings: Any) -> Metadata | None:
    """Return a folder's metadata if it holds all that is asked for, every byte in place.

    Args:
        out: the units folder.
        asked: what `request` returned.
        settings: fields of the metadata and what they must be.
    """
    metadata = read_metadata(out) if asked else None
    if metadata is None or not metadata.complete or metadata.request != dict(asked):
        return None
    if any(getattr(metadata, name) != value for name, value in settings.items()):
        return None
    if pending(out) or not all(is_whole(out, shard) for shard in metadata.shards):
        return None
    return metadata if vectors_are_whole(out, metadata) else None


def is_whole(out: Path, shard: Shard) -> bool:
    """Return whether a shard is there with the bytes that were written."""
    return (out / shard.file).is_file() and sha256(out / shard.file) == shard.sha256


def vectors_are_whole(out: Path, metadata: Metadata) -> bool:
    """Return whether the vectors of the codes are there, if there are any."""
    path, wanted = out / VECTORS, metadata.vectors_sha256
    return wanted is None or (path.is_file() and sha256(path) == wanted)
