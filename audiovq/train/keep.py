"""Which models a run keeps: the last, the averaged one, and the best by validation."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from torch import nn

from audiovq import distributed
from audiovq.train.best import Best
from audiovq.train.checkpoint import Stateful, Store
from audiovq.train.run import refuse_divergence


@runtime_checkable
class Savable(Protocol):
    """A model, of whatever kind, that can be written as a folder."""

    def save(self, folder: Path, /) -> None:
        """Write it."""


SavableT = TypeVar("SavableT", bound=Savable)


def save_model(model: Savable, folder: Path) -> None:
    """Write a model; one rank does."""
    if distributed.is_main():
        model.save(folder)


def saving(
    model: Savable, module: nn.Module, folder: Path, store: Store, parts: Mapping[str, Stateful]
) -> Callable[[int], None]:
    """Return the function that writes the model and a checkpoint.

    Args:
        model: written as `model/`.
        module: its weights, the same on all ranks.
        folder: of the run.
        store: of its checkpoints.
        parts: what a checkpoint holds.
    """

    def save(at: int) -> None:
        refuse_divergence(module, at)
        save_model(model, folder / "model")  # first: where a checkpoint is, its model is, too
        if distributed.is_main():
            store.save(at, parts)

    return save


def validating(
    model: SavableT,
    averaged: Callable[[], SavableT] | None,
    measure: Callable[[SavableT, int, str], Mapping[str, float]],
    best: Best,
    folder: Path,
) -> Callable[[int], dict[str, float]]:
    """Return the function that validates and keeps `best/`, and `average/` where there is one.

    Args:
        model: as it is trained.
        averaged: gives the model of averaged weights; None if there is none.
        measure: from model, step and prefix to figures that bear the prefix.
        best: which figure decides.
        folder: of the run.
    """

    def validate(at: int) -> dict[str, float]:
        figures, kept = dict(measure(model, at, "validation")), model
        if averaged is not None:
            other = averaged()
            figures |= measure(other, at, "validation/average")
            save_model(other, folder / "average")
            kept = other if best.config.metric.startswith("validation/average/") else model
        if best.improves(at, figures):
            save_model(kept, folder / "best")
        return figures

    return validate
