"""The coder's copies of priors: one file for each that has one, named as the prior's own."""

import importlib
import pkgutil

from audiovq.coding.fixed._base import FixedPrior
from audiovq.errors import ConfigError
from audiovq.prior._base import Prior


def names() -> list[str]:
    """Return the names of the priors that have a copy, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name[0] != "_")


def copy_of(prior: Prior) -> FixedPrior:
    """Return the coder's copy of a prior.

    Raises:
        ConfigError: it has none, or needs more than codes.
        CheckpointError: its weights do not fit the grids.
    """
    package, _, name = type(prior).__module__.rpartition(".")
    if package != "audiovq.prior" or name not in names():
        raise ConfigError(
            f"the prior {type(prior).__name__} has no copy that computes the same on every "
            f"machine, so it cannot compress; these can: {', '.join(names())}"
        )
    module = importlib.import_module(f"{__name__}.{name}")
    found: FixedPrior = getattr(module, type(prior).__name__ + "Copy")(prior)
    return found
