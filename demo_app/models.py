"""The shelf: which models and priors there are; loaded when asked for, a few kept in memory."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

import audiovq
from audiovq import prior as trained_priors
from audiovq.autoencoder import Autoencoder
from audiovq.errors import AudioVQError, CheckpointError, ConfigError
from audiovq.prior import TrainedPrior
from audiovq.prior._release import About

from .facts import Facts, PriorFacts, facts_of
from .places import Place, survey

T = TypeVar("T")


class Shelf:
    """All models under some folders, and those that come with the package.

    May be used by several threads at once. A name that is not listed never reaches the disk.

    Args:
        folders: where to look for model folders, run folders and priors, at any depth up to 6;
            links to folders are not followed.
        shipped: also offer the models that come with the package.
        in_memory: models, and as many priors, that are kept; the one used longest ago goes first.
        device: where they compute.
        warm: run each model once when it is loaded, so that what a first pass finds out about the
            machine, most of a second, is not of the first visitor's real-time factor.

    Attributes:
        notes: what was found and cannot be used: name and one line each.

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
        warm: bool = True,
    ) -> None:
        places, notes = survey([Path(f) for f in folders], _shipped() if shipped else {})
        self.notes: dict[str, str] = notes
        self._device, self._warm = torch.device(device), warm
        self._models: dict[str, tuple[Place, Facts]] = {}
        self._priors: dict[str, tuple[Place, About]] = {}
        for name, place in places.items():
            if isinstance(place.about, About):
                self._priors[name] = (place, place.about)
                continue
            try:
                self._models[name] = (place, facts_of(name, place.about))
            except (AudioVQError, RuntimeError, MemoryError) as error:
                self.notes[name] = f"not a usable model config: {error}"
        self._hashes: dict[str, tuple[tuple[int, int], str]] = {}
        self._kept_models = _Kept(self._load_model, in_memory)
        self._kept_priors = _Kept(self._load_prior, in_memory)

    def models(self) -> list[Facts]:
        """Return every model, shipped ones first, then by name."""
        return [facts for _, facts in self._models.values()]

    def names(self) -> list[str]:
        """Return the names of all models, in the same order."""
        return list(self._models)

    def facts(self, name: str) -> Facts:
        """Return what a model is.

        Raises:
            ConfigError: there is none of that name.
        """
        return self._known(name)[1]

    def model(self, name: str) -> Autoencoder:
        """Return a model, ready for use.

        Raises:
            ConfigError: there is none of that name.
            CheckpointError: its files are damaged, or gone.
        """
        return self._kept_models.get(self._known(name)[0])

    def priors(self, name: str) -> list[PriorFacts]:
        """Return what can draw the codes of a model; empty if nothing can.

        Raises:
            ConfigError: there is no model of that name.
        """
        facts = self.facts(name)
        return [_describe(parts) for parts in self._sets(facts)]

    def prior(self, model: str, prior: str) -> list[TrainedPrior]:
        """Return the priors of one of `priors(model)`, in the order of drawing.

        Raises:
            ConfigError: there is none of that name.
        """
        known = {found.name: found for found in self.priors(model)}
        if prior not in known:
            raise ConfigError(
                f"no prior {str(prior)[:80]!r} of {model}; known: {', '.join(known) or 'none'}"
            )
        return [self._kept_priors.get(self._priors[part][0]) for part in known[prior].parts]

    def whole_prior(self, name: str, codebooks: int | None = None) -> TrainedPrior | None:
        """Return a prior that can write a model's codes into a compressed file, if there is one.

        Args:
            name: of the model.
            codebooks: the first so many rows of its codes; None: all.
        """
        sizes = self.facts(name).codebook_sizes[:codebooks]
        for place, about in self._of(name):
            first = about.part is None or about.part.is_first
            if first and about.codes.codebook_sizes == sizes and not _needs_more(about):
                return self._kept_priors.get(place)
        return None

    def with_priors(self) -> list[str]:
        """Return the names of the models that a prior is there for."""
        return [name for name in self._models if self.priors(name)]

    def loaded(self) -> list[str]:
        """Return the names of the models that are in memory."""
        return self._kept_models.names()

    def _known(self, name: str) -> tuple[Place, Facts]:
        if not isinstance(name, str) or name not in self._models:
            raise ConfigError(
                f"no model {str(name)[:80]!r} here; there are {len(self._models)}: "
                f"{', '.join(list(self._models)[:8])}"
            )
        return self._models[name]

    def _of(self, name: str) -> Iterator[tuple[Place, About]]:
        """Yield the priors of a model's codes."""
        place, facts = self._known(name)
        like = [found for found in self._priors.values() if _like(found[1], facts)]
        mine = self._fingerprint(place) if like else ""
        yield from (found for found in like if found[1].codes.model_hash == mine)

    def _sets(self, facts: Facts) -> Iterator[list[tuple[Place, About]]]:
        """Yield priors that together draw every row, each in an order that they can be drawn in."""
        usable = [(p, a) for p, a in self._of(facts.name) if not _needs_more(a)]
        rows = set(range(facts.num_codebooks))
        for place, about in usable:
            chain, done = [(place, about)], set(_rows(about))
            if about.part is not None and about.part.given:
                continue  # of what others draw first
            while done < rows:
                fitting = (u for u in usable if _follows(u[1], done))
                if (after := next(fitting, None)) is None:
                    break
                chain.append(after)
                done |= set(_rows(after[1]))
            if done == rows:
                yield chain

    def _fingerprint(self, place: Place) -> str:
        stamp = place.stamp()
        if self._hashes.get(place.name, (None, ""))[0] != stamp:
            self._hashes[place.name] = (stamp, _named(audiovq.load, place).fingerprint())
        return self._hashes[place.name][1]

    def _load_model(self, place: Place) -> Autoencoder:
        model = _named(audiovq.load, place).to(self._device)
        if self._warm:
            moment = torch.zeros(1, 1, model.sample_rate // 5, device=self._device)
            model.decode_embedding(model.embed(moment, exact=True))
        return model

    def _load_prior(self, place: Place) -> TrainedPrior:
        found = _named(trained_priors.load, place)
        found.module.to(self._device)
        return found


class _Kept(Generic[T]):
    """The few things that were asked for last; read again when their file changes."""

    def __init__(self, load: Callable[[Place], T], most: int) -> None:
        self._load, self._most = load, max(1, most)
        self._held: OrderedDict[str, tuple[tuple[int, int], T]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, place: Place) -> T:
        stamp = place.stamp()
        with self._lock:  # also while it loads: two visitors do not load the same twice
            held = self._held.get(place.name)
            if held is None or held[0] != stamp:
                self._held.pop(place.name, None)
                while len(self._held) >= self._most:  # before loading: never one more in memory
                    self._held.popitem(last=False)
                held = self._held[place.name] = (stamp, self._load(place))
            self._held.move_to_end(place.name)
            return held[1]

    def names(self) -> list[str]:
        return list(self._held)


def _shipped() -> dict[str, Path]:
    """Return the folders of the models and priors that come with the package, by name."""
    found: dict[str, Any] = getattr(audiovq, "models", dict)()
    return {name: Path(shipped.folder) for name, shipped in found.items()}


def _named(load: Callable[[Path], T], place: Place) -> T:
    """Load what is at a place; an error names it as visitors do."""
    try:
        return load(place.folder)
    except CheckpointError as error:
        raise CheckpointError(str(error).replace(str(place.folder), place.name)) from None


def _rows(about: About) -> tuple[int, ...]:
    own = range(len(about.codes.codebook_sizes))
    return tuple(own) if about.part is None else about.part.rows


def _like(about: About, facts: Facts) -> bool:
    """Whether a prior may be of a model, which only the model's weights can tell."""
    codes, part = about.codes, about.part
    sizes = codes.codebook_sizes if part is None else part.codebook_sizes
    mine = (facts.sample_rate, facts.hop_length, facts.codebook_sizes[: len(sizes)])
    return (codes.sample_rate, codes.hop_length, sizes) == mine


def _needs_more(about: About) -> bool:
    """Whether a prior must be given what no other prior of this model draws."""
    return about.given_codes is not None or about.given_features is not None


def _follows(about: About, done: set[int]) -> bool:
    """Whether a prior draws other rows, given none but those that are there."""
    given = set() if about.part is None else set(about.part.given)
    return given <= done and not done & set(_rows(about))


def _describe(parts: Sequence[tuple[Place, About]]) -> PriorFacts:
    names = tuple(place.name for place, _ in parts)
    labels = sorted({label for _, about in parts for label in about.labels})
    kinds = " + ".join(f"{about.prior.name}{_trained(place, about)}" for place, about in parts)
    return PriorFacts(
        name=" + ".join(names),
        parts=names,
        labels=tuple(labels),
        title=f"{' + '.join(names)} ({kinds})",
    )


def _trained(place: Place, about: About) -> str:
    """Return what tells a prior from others of its kind: which rows, and after how many steps."""
    told = [] if about.part is None else [" and ".join(about.part.names)]
    if (steps := place.steps()) is not None:
        told.append(f"{steps:,} steps")
    return "".join(f", {each}" for each in told)
