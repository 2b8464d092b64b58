"""Copying a shipped config or recipe out, to change it; or a model, to store or share it."""

from collections.abc import Iterator
from pathlib import Path

import yaml

from audiovq import share, shipped
from audiovq.config import read_yaml
from audiovq.errors import ConfigError
from audiovq.files import atomic_write


def copy(name: str, target: Path) -> list[Path]:
    """Copy a config or recipe; a config with all that it extends, so that the copy loads.

    Args:
        name: as `audiovq ls` shows it, or the path of a config.
        target: a folder, made if missing, or a file of the same suffix.

    Returns:
        the files written.

    Raises:
        ConfigError: there is no such name, or something else is where a copy would go.
    """
    suffixes = dict.fromkeys(share.recipes(), ".py") | dict.fromkeys(share.scripts(), ".sh")
    named = name in suffixes
    source = (
        share.folder("recipes") / f"{name}{suffixes[name]}" if named else share.config_path(name)
    )
    into_folder = target.is_dir() or target.suffix != source.suffix
    first = target / source.name if into_folder else target
    copies = {first: source.read_bytes()}
    for parent in _extended(source):
        beside, data = first.with_name(parent.name), parent.read_bytes()
        if beside == first:
            raise ConfigError(
                f"{target} is the name of a config that {name} extends; choose another"
            )
        if not (beside.is_file() and beside.read_bytes() == data):
            copies[beside] = data
    for path in copies:
        if path.exists():
            raise ConfigError(f"{path} exists already; remove it or choose another name")
    try:
        first.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot copy to {first.parent}: {error.strerror}") from None
    for path, data in reversed(copies.items()):  # what is extended before what extends it
        atomic_write(path, data)
    return list(copies)


def is_model(name: str) -> bool:
    """Return whether a name means a model or a prior, and no config or recipe."""
    return Path(name).is_dir() or shipped.is_name(name)


def copy_model(name: str, target: Path, *, half: bool = False) -> list[Path]:
    """Copy the files of a model or a prior: config, weights, and its card if it has one.

    Args:
        name: a model folder, a run folder, or a name of `audiovq.models()`.
        target: a folder, made if missing.
        half: store float16. What is rounded is another model, so its card is left behind.

    Returns:
        the files written.

    Raises:
        CheckpointError: there is no model, it is damaged, or has weights too large for float16.
        ConfigError: one of its files is where a copy would go.
    """
    from audiovq import prior, release, weights  # noqa: PLC0415  (torch)
    from audiovq.cards.front import CARD  # noqa: PLC0415

    source = release.find(Path(name))
    files = [source / n for n in (release.WEIGHTS, release.CONFIG, CARD) if (source / n).is_file()]
    for path in (target / f.name for f in files):
        if path.exists():
            raise ConfigError(f"{path} exists already; remove it or choose another name")
    if target.exists() and not target.is_dir():
        raise ConfigError(f"{target} is a file; give a folder to copy the model to")
    is_prior = shipped.kind_of(source) == "prior"
    model = prior.load(source) if is_prior else release.load(source)  # refused if damaged
    if half and "F32" in weights.stored_types(source / release.WEIGHTS):
        model.save(target, half=True)
        return [target / release.WEIGHTS, target / release.CONFIG]
    target.mkdir(parents=True, exist_ok=True)
    for file in files:
        atomic_write(target / file.name, file.read_bytes())
    return [target / f.name for f in files]


def _extended(path: Path) -> Iterator[Path]:
    """Yield the configs a config extends, nearest first."""
    if path.suffix != ".yaml":
        return
    read_yaml(path)  # says what is wrong, in one line; from here on all is well
    while parent := yaml.safe_load(path.read_text("utf-8")).get("extends"):
        path = path.with_name(f"{parent}.yaml")
        yield path
