"""Priors one after another, each of some rows of a model's codes, given rows drawn before."""

from collections.abc import Sequence

from audiovq.errors import ConfigError
from audiovq.prior._release import TrainedPrior


def rows_of(trained: TrainedPrior) -> tuple[int, ...]:
    """Return which rows of a model's codes a prior is of."""
    about = trained.about
    return tuple(range(len(about.codes.codebook_sizes))) if about.part is None else about.part.rows


def check_stages(
    priors: Sequence[TrainedPrior],
    model_hash: str,
    codebook_sizes: Sequence[int],
    layout: Sequence[str],
) -> None:
    """Look whether priors draw, in this order, every row of a model's codes once.

    Args:
        priors: in the order of drawing.
        model_hash: fingerprint of the model.
        codebook_sizes: of its codes, row by row.
        layout: what each row holds.

    Raises:
        CheckpointError: a prior is of codes of another model.
        ConfigError: rows are missing, drawn twice, or given before they are drawn.
    """
    done: set[int] = set()
    for trained in priors:
        part = trained.about.part
        whole = None if part is None else part.codebook_sizes
        if whole == tuple(codebook_sizes) and trained.about.codes.model_hash == model_hash:
            sizes = trained.about.codes.codebook_sizes  # of its part: the whole fits
        else:
            sizes = tuple(codebook_sizes)
        trained.check(model_hash, sizes, "the model")
        if twice := done & set(rows_of(trained)):
            raise ConfigError(f"two priors draw {_named(twice, layout)}: one is needed of each row")
        if part is not None and (lacking := set(part.given) - done):
            raise ConfigError(
                f"the prior of {', '.join(part.names)} is given {_named(lacking, layout)}: name a "
                f"prior of that first, and this one with --then"
            )
        done |= set(rows_of(trained))
    if lacking := set(range(len(codebook_sizes))) - done:
        raise ConfigError(
            f"no prior draws {_named(lacking, layout)}, which the model needs, too: add one with "
            f"--then"
        )


def _named(rows: set[int], layout: Sequence[str]) -> str:
    return ", ".join(layout[k] for k in sorted(rows))
