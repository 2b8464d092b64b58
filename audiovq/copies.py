"""Copying a shipped config or recipe out, to change it."""

from collections.abc import Iterator
from pathlib import Path

import yaml

from audiovq import share
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


def _extended(path: Path) -> Iterator[Path]:
    """Yield the configs a config extends, nearest first."""
    if path.suffix != ".yaml":
        return
    read_yaml(path)  # says what is wrong, in one line; from here on all is well
    while parent := yaml.safe_load(path.read_text("utf-8")).get("extends"):
        path = path.with_name(f"{parent}.yaml")
        yield path
