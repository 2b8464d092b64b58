"""Whether what is asked for has been extracted already: decided from files, without torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audiovq import shipped
from audiovq.files import sha256
from audiovq.units.metadata import VECTORS, Metadata, Shard, read_metadata
from audiovq.units.parts import pending

_MODEL_FILES = ("config.json", "model.safetensors")


def request(source: str, manifest: Path, **options: object) -> dict[str, str]:
    """Return checksums of the files that were asked for, and options; empty if that cannot be told.

    Equal ones mean an equal model and corpus; different ones may still do (a manifest's header
    can change), which is for `extract` to find out.

    Args:
        source: a model folder or name, `hf:PATH[:LAYER]` or `mfcc`; of anything else nothing is
            told.
        manifest: the corpus, where it is a file.
        options: of k-means; a path stands for the bytes of the file. None is left out.
    """
    if source == "mfcc":
        found = {"source": source}
    elif source.startswith("hf:"):
        found = _transformers(source.removeprefix("hf:"))
    else:
        found = _model(Path(source))
    given = {name: value for name, value in options.items() if value is not None}
    files = [v for v in (manifest, *given.values()) if isinstance(v, Path)]
    if not found or not all(file.is_file() for file in files):
        return {}
    told = {k: sha256(v) if isinstance(v, Path) else str(v) for k, v in given.items()}
    return found | told | {"manifest": sha256(manifest)}


def _model(path: Path) -> dict[str, str]:
    for folder in shipped.places(path):
        if all((folder / name).is_file() for name in _MODEL_FILES):
            return {f"model/{name}": sha256(folder / name) for name in _MODEL_FILES}
    return {}


def _transformers(place: str) -> dict[str, str]:
    """Return checksums of a transformers model's files, and the place, which may name a layer."""
    path, _, layer = place.rpartition(":")
    folder = Path(path if layer.isdecimal() and path else place).expanduser()
    files = sorted(folder.glob("*.json")) + sorted(folder.glob("*.safetensors"))
    return {"source": place} | {f"model/{f.name}": sha256(f) for f in files} if files else {}


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
