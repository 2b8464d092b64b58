"""The shelf: which models and priors there are; loaded when asked for, a few kept in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from audiovq.autoencoder import Autoencoder
from audiovq.prior import TrainedPrior


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a model is, known without its weights.

    Attributes:
        name: what visitors choose it by; holds no path of the server.
        bottleneck: name of its bottleneck.
        sample_rate: Hz.
        hop_length: samples per frame.
        frame_rate: frames per second (Hz).
        codebook_sizes: N of each row of codes; empty for a continuous model.
        layout: what each row of codes holds.
        bitrate: nominal (bit/s); None for a continuous model.
        prefixes: numbers of first codebooks that it decodes: (1, ..., K) for a residual model, (K,)
            for other discrete ones, () for a continuous one.
        speakers: names it can be given; empty if it takes none.
        title: a line for menus.
    """

    name: str
    bottleneck: str
    sample_rate: int
    hop_length: int
    frame_rate: float
    codebook_sizes: tuple[int, ...]
    layout: tuple[str, ...]
    bitrate: float | None
    prefixes: tuple[int, ...]
    speakers: tuple[str, ...]
    title: str

    @property
    def is_discrete(self) -> bool:
        """Whether it has codes."""
        return bool(self.codebook_sizes)

    @property
    def num_codebooks(self) -> int:
        """Rows of codes; 0 for a continuous model."""
        return len(self.codebook_sizes)


@dataclass(frozen=True, kw_only=True)
class PriorFacts:
    """A prior, or several that together draw every row of a model's codes.

    Attributes:
        name: what visitors choose it by.
        parts: names of the priors, in the order of drawing.
        labels: names that it knows (of speakers), empty if it takes none.
        seconds: how much of a prompt's end it hears; None: all.
        title: a line for menus.
    """

    name: str
    parts: tuple[str, ...]
    labels: tuple[str, ...]
    seconds: float | None
    title: str


class Shelf:
    """All models under some folders, and those that come with the package.

    May be used by several threads at once. A name that is not listed never reaches the disk.

    Args:
        folders: where to look for model folders, run folders and priors, at any depth up to 6;
            links to folders are not followed.
        shipped: also offer the models that come with the package.
        in_memory: models, and as many priors, that are kept; the one used longest ago goes first.
        device: where they compute.

    Raises:
        ConfigError: a folder does not exist.
    """

    def __init__(
        self,
        folders: Sequence[str | Path] = (),
        *,
        shipped: bool = True,
        in_memory: int = 3,
        device: str = "cpu",
    ) -> None:
        raise NotImplementedError

    @property
    def notes(self) -> Mapping[str, str]:
        """What was found and cannot be used: name and one line each."""
        raise NotImplementedError

    def models(self) -> list[Facts]:
        """Return every model, shipped ones first, then by name."""
        raise NotImplementedError

    def names(self) -> list[str]:
        """Return the names of all models, in the same order."""
        raise NotImplementedError

    def facts(self, name: str) -> Facts:
        """Return what a model is.

        Raises:
            ConfigError: there is none of that name.
        """
        raise NotImplementedError

    def model(self, name: str) -> Autoencoder:
        """Return a model, ready for use.

        Raises:
            ConfigError: there is none of that name.
            CheckpointError: its files are damaged, or gone.
        """
        raise NotImplementedError

    def priors(self, name: str) -> list[PriorFacts]:
        """Return what can draw the codes of a model; empty if nothing can.

        Raises:
            ConfigError: there is no model of that name.
        """
        raise NotImplementedError

    def prior(self, model: str, prior: str) -> list[TrainedPrior]:
        """Return the priors of one of `priors(model)`, in the order of drawing.

        Raises:
            ConfigError: there is none of that name.
        """
        raise NotImplementedError

    def whole_prior(self, name: str) -> TrainedPrior | None:
        """Return a prior that can write a model's codes into a compressed file, if there is one."""
        raise NotImplementedError

    def with_priors(self) -> list[str]:
        """Return the names of the models that a prior is there for."""
        raise NotImplementedError

    def loaded(self) -> list[str]:
        """Return the names of the models that are in memory."""
        raise NotImplementedError
