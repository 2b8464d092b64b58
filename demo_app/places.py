"""Where models and priors are: folders found by walking, named without their place on disk."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from audiovq import config as configs
from audiovq import release
from audiovq.autoencoder import AutoencoderConfig
from audiovq.errors import AudioVQError, CheckpointError, ConfigError
from audiovq.prior import _release as priors

DEPTH = 6  # folders below the one that is given
MOST_FOLDERS = 20_000  # that are looked at: `--models /` shall end, too
_MOST_CONFIG = 1 << 18  # bytes of a run's config that are read
_LEFT_OUT = {"checkpoints", "snapshots"}  # of run folders: they hold no model to share


@dataclass(frozen=True)
class Place:
    """A folder that holds a model or a prior.

    Attributes:
        name: what visitors choose it by.
        folder: where it is; never shown.
        about: what its config says; its kind tells model from prior.
    """

    name: str
    folder: Path
    about: AutoencoderConfig | priors.About

    def stamp(self) -> tuple[int, int]:
        """Return what changes when the weights are written again.

        Raises:
            CheckpointError: they are gone.
        """
        try:
            facts = (self.folder / release.WEIGHTS).stat()
        except OSError:
            raise CheckpointError(f"{self.name} is no longer there: choose another") from None
        return facts.st_mtime_ns, facts.st_size

    def steps(self) -> int | None:
        """Return how many steps it was trained for, where it lies in a run that is finished."""
        if self.folder.name != "model":
            return None
        try:
            with (self.folder.parent / "config.yaml").open("rb") as file:
                values = yaml.safe_load(file.read(_MOST_CONFIG))
            steps = values["train"]["max_steps"]
        except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError):
            return None
        return steps if isinstance(steps, int) else None


def survey(
    roots: Sequence[Path], shipped: Mapping[str, Path]
) -> tuple[dict[str, Place], dict[str, str]]:
    """Return every model and prior by name, and the names of what cannot be used, and why.

    A name is the path from the folder that was given, without `model` at its end, or that folder's
    own name where it is a model or a run; where two are the same, the later one is numbered.

    Args:
        roots: folders to look in.
        shipped: folders of what comes with the package, by name; they come first.

    Raises:
        ConfigError: a folder does not exist.
    """
    places: dict[str, Place] = {}
    notes: dict[str, str] = {}
    for wanted, folder in (*shipped.items(), *_found(roots)):
        name = _unused(wanted, places.keys() | notes.keys())
        try:
            places[name] = Place(name, folder, _read(folder))
        except (AudioVQError, OSError) as error:
            notes[name] = str(error).replace(str(folder), name)
    return places, notes


def _found(roots: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Yield a name and the folder for all that look like models, in order of their names."""
    for root in roots:
        if not root.is_dir():
            raise ConfigError(f"there is no folder {root}; give one that holds trained models")
        yield from sorted((_name(root, folder), folder) for folder in _folders(root))


def _folders(root: Path) -> Iterator[Path]:
    """Yield the folders that hold weights and a config; links are not followed."""
    for number, (at, below, files) in enumerate(os.walk(root)):
        folder = Path(at)
        if {release.CONFIG, release.WEIGHTS} <= set(files):
            yield folder
        deep = len(folder.relative_to(root).parts) >= DEPTH or number >= MOST_FOLDERS
        below[:] = [] if deep else [b for b in below if b not in _LEFT_OUT and b[0] != "."]
        if number >= MOST_FOLDERS:
            return


def _name(root: Path, folder: Path) -> str:
    own, parts = root.resolve(), folder.relative_to(root).parts
    own = own.parent if own.name == "model" else own
    if any((place / release.CONFIG).is_file() for place in (root, root / "model")):
        parts = (own.name, *parts)  # one model or run is given, and is called by its own name
    return "/".join(parts[:-1] if parts[-1] == "model" else parts) or "model"


def _unused(name: str, taken: Collection[str]) -> str:
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name} ({number})"
    return found


def _read(folder: Path) -> AutoencoderConfig | priors.About:
    """Return what a folder holds, by its config alone."""
    path = folder / release.CONFIG
    with path.open("rb") as file:
        is_prior = priors.FORMAT.encode() in file.read(200)  # its first entry
    if is_prior:
        values = release.read_config(path, priors.FORMAT, priors.VERSION, {})
        return configs.parse(priors.About, values, path.name)
    values = release.read_config(path, "audiovq.model", release.FORMAT_VERSION, {})
    if not isinstance(values.get("model"), dict):
        raise CheckpointError(f"{path} describes no model")
    return configs.parse(AutoencoderConfig, values["model"], path.name)
