"""The priors that `audiovq score` is asked about, and the codes as each of them has them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from audiovq.commands._app import check_device
from audiovq.errors import CheckpointError, ConfigError, NonFiniteError

if TYPE_CHECKING:
    from audiovq.prior._release import About, TrainedPrior
    from audiovq.units.given import Folders
    from audiovq.units.reading import Units
    from audiovq.units.sequences import CodeSequences


@dataclass(frozen=True)
class Asked:
    """What is to be scored."""

    units: "Units"
    split: str
    folders: "Folders"

    @property
    def where(self) -> str:
        """The units' folder."""
        return str(self.units.folder)


@dataclass(frozen=True)
class Scored:
    """A prior, and the codes as it has them, with what it is given."""

    path: Path
    trained: "TrainedPrior"
    sequences: "CodeSequences"


def load_all(
    paths: Sequence[Path], asked: Asked, device: str, plugins: list[str]
) -> tuple[Scored, ...]:
    """Load priors of the same codes; priors that are told the same share what is read."""
    from audiovq.prior import load
    from audiovq.units.given import check_for, read

    split = None if asked.split == "all" else asked.split
    known: dict[object, CodeSequences] = {}
    found = []
    for path in paths:
        trained = load(path, plugins)
        about = trained.about
        folders = _folders_of(about, asked.folders)
        with naming(path):
            check_for(about, asked.units, folders)
            if (key := (about.part, folders)) not in known:
                known[key] = read(asked.units, split, about.part, folders)
        trained.module.to(check_device(device))
        found.append(Scored(path, trained, known[key]))
    _check_alike(found, asked)
    return tuple(found)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Say of which of several priors an error is."""
    try:
        yield
    except (CheckpointError, NonFiniteError) as error:
        raise type(error)(f"{path}: {error}") from None


def _folders_of(about: "About", folders: "Folders") -> "Folders":
    """Return those that a prior is given; of several priors, one may be given more than another."""
    from audiovq.units.given import Folders

    return Folders(
        codes=folders.codes if about.given_codes else None,
        features=folders.features if about.given_features else None,
    )


def _check_alike(scored: Sequence[Scored], asked: Asked) -> None:
    """Refuse priors of different rows, and folders that no prior is given."""
    for folder, name in ((asked.folders.codes, "codes"), (asked.folders.features, "features")):
        if folder is not None and not any(
            getattr(s.trained.about, f"given_{name}") for s in scored
        ):
            raise ConfigError(f"no prior here is given what {folder.folder} holds: leave it out")
    first = scored[0].trained.about
    for other in scored[1:]:
        mine = other.trained.about
        if (_rows(first), first.codes.hop_length) != (_rows(mine), mine.codes.hop_length):
            raise ConfigError(
                f"{other.path} is of other rows of the codes than {scored[0].path}: only priors of "
                f"the same codes can be compared"
            )


def _rows(about: "About") -> tuple[int, ...] | None:
    return None if about.part is None else about.part.rows
