"""Autoregressive models of code sequences: how probable codes are, and new ones."""

from typing import TYPE_CHECKING

from audiovq.lazy import attributes

if TYPE_CHECKING:
    from audiovq.prior._release import TrainedPrior, load

__all__ = ["TrainedPrior", "load"]

__getattr__ = attributes(__name__, dict.fromkeys(__all__, "audiovq.prior._release"))
