"""How well a codebook and the encoder's output fit, from sums over frames."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from audiovq.bottlenecks import _codebook as codebook


def describe_counts(counts: Float[Tensor, "N"]) -> dict[str, float]:
    """Summarise how often each code was used.

    Returns:
        perplexity: 2 to the entropy (bit) of the code distribution, in [1, N].
        usage: share of codes used at least once, in [0, 1].
    """
    p = counts.double() / counts.double().sum().clamp_min(1.0)
    entropy = -torch.special.xlogy(p, p).sum()
    return {
        "perplexity": float(entropy.exp()),
        "usage": float((counts > 0).double().mean()),
    }


def fit_sums(
    rows: Float[Tensor, "R D"],
    codes: Int[Tensor, "R"],
    error: Float[Tensor, "R"],
    size: int,
    real: Bool[Tensor, "R"] | None,
) -> dict[str, Tensor]:
    """Return sums over real frames: `count` and `sum` by code, `square` and `error` in all.

    Args:
        rows: frames, detached.
        codes: code of each.
        error: mean squared distance of each to its code, 0 where not real.
        size: number of codes N.
        real: which rows count; None: all.
    """
    counts, sums = codebook.count_and_sum(rows, codes, size, real)
    squares = torch.linalg.vector_norm(rows, dim=1).square()
    if real is not None:
        squares = torch.where(real, squares, 0.0)
    return {
        "count": counts,
        "sum": sums,
        "square": squares.sum(),
        "error": error.detach().sum() * rows.shape[1],
    }


def describe_fit(sums: Mapping[str, Tensor], vectors: Float[Tensor, "N D"]) -> dict[str, float]:
    """Say how a codebook fits the frames behind the sums.

    Returns:
        perplexity, usage: as `describe_counts`.
        drift: rms distance between each code and the mean of the frames given to it, relative to
            the rms deviation of frames from their mean; 0 is best, above 1 the codebook is
            further from the frames than they are from each other.
        relative_error: mean squared quantization error over the variance of the frames.
    """
    counts, summed = sums["count"].double(), sums["sum"].double()
    total = counts.sum().clamp_min(1.0)
    spread = sums["square"].double() - summed.sum(0).square().sum() / total
    spread = spread.clamp_min(1e-9 * total)  # constant frames have none
    means = summed / counts.clamp_min(1.0).unsqueeze(1)
    apart = (counts * (means - vectors.double()).square().sum(1)).sum()
    return {
        **describe_counts(sums["count"]),
        "drift": float((apart / spread).sqrt()),
        "relative_error": float(sums["error"].double() / spread),
    }


def over_rows(each: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Join descriptions of several codebooks: `usage/1` is codebook 1's, `usage` all together.

    Perplexity is joined by the geometric mean, counts of codes by adding, the rest by the mean.
    """
    joined = {f"{k}/{i}": v for i, values in enumerate(each) for k, v in values.items()}
    for key in each[0]:
        values = torch.tensor([v[key] for v in each], dtype=torch.float64)
        if key == "perplexity":
            joined[key] = float(values.log().mean().exp())
        else:
            joined[key] = float(values.sum() if key == "revived_codes" else values.mean())
    return joined
