"""Quantizing with code vectors that are learned by gradient."""

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from audiovq.bottlenecks import _codebook as codebook
from audiovq.bottlenecks._base import BottleneckOutput, Context, Statistics
from audiovq.bottlenecks._estimators import ESTIMATORS, EstimatorName
from audiovq.bottlenecks._health import fit_sums
from audiovq.bottlenecks._jitter import JitterConfig, jitter


class LearnedConfig(JitterConfig):
    """Settings that bottlenecks with learned codes share."""

    dim: int = Field(64, ge=1, le=4096, description="code dimension D")
    codebook_size: int = Field(512, ge=2, le=1 << 20, description="number of codes N")
    codebook_weight: float = Field(
        1.0, ge=0, description="weight of the VQ-VAE paper's second term, on a mean over D"
    )
    commitment_weight: float = Field(
        0.25, ge=0, description="beta of the VQ-VAE paper's eq. 3, on a mean over D"
    )
    estimator: EstimatorName = Field(
        "straight_through", description="how the decoder's gradient reaches the encoder"
    )


def quantise(
    z: Float[Tensor, "B D T"],
    vectors: Float[Tensor, "N D"],
    config: LearnedConfig,
    context: Context,
    *,
    training: bool,
) -> BottleneckOutput:
    """Give each frame its nearest code; the three gradients of the VQ-VAE paper's eq. 3.

    Args:
        z: encoder output.
        vectors: the codes, gradient attached.
        config: weights and estimator.
        context: mask and keys.
        training: whether frames are jittered.

    Returns:
        z: the code vectors. loss: codebook_weight * |sg[z] - e|^2 + commitment_weight *
        |z - sg[e]|^2, means over D. codes: in [0, N). metrics: `quantization_error`, the summed
        distance without weights.
    """
    B, _, T = z.shape
    real = None if context.mask is None else context.mask.flatten()
    rows = rows_of(z, vectors)
    codes = search(rows, vectors, real)
    z_q = vectors.index_select(0, codes)
    fixed = z_q.detach()
    error = codebook.squared_distance(rows, fixed)
    loss = config.commitment_weight * error
    loss = loss + config.codebook_weight * codebook.squared_distance(rows.detach(), z_q)
    if real is not None:
        error, loss = (torch.where(real, e, 0.0) for e in (error, loss))
    passed = ESTIMATORS[config.estimator](rows, fixed)
    quantised = rearrange(passed, "(b t) d -> b d t", b=B)
    return BottleneckOutput(
        z=jitter(quantised, config.jitter if training else 0.0, context),
        loss=loss.view(B, T),
        codes=codes.view(B, 1, T),
        statistics=Statistics(sums=fit_sums(rows.detach(), codes, error, len(vectors), real)),
        metrics={"quantization_error": error.detach().view(B, T).sum(dim=1)},
    )


def rows_of(z: Float[Tensor, "B D T"], like: Float[Tensor, "N D"]) -> Float[Tensor, "R D"]:
    """Return frames as rows, in the codes' dtype."""
    return rearrange(z, "b d t -> (b t) d").to(like.dtype)


def search(
    rows: Float[Tensor, "R D"], vectors: Float[Tensor, "N D"], real: Bool[Tensor, "R"] | None
) -> Int[Tensor, "R"]:
    """Return the index of each row's nearest code; 0 where not real."""
    codes = codebook.nearest(rows, vectors)
    return codes if real is None else torch.where(real, codes, 0)
