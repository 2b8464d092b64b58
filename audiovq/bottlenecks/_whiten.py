"""A fixed linear map that gives encoder output zero mean and unit covariance at the start."""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from audiovq.errors import ConfigError
from audiovq.nn.precision import without_autocast

_FLOOR = 1e-4  # of the largest variance: directions below it are rounding, not speech


class Whiten(nn.Module):
    """A symmetric matrix times frames minus a mean; the identity until initialised.

    An untrained encoder's channels are alike and far from zero, so their signs hardly differ from
    frame to frame: 9 bits would start as one or two codes, and quantizers without a codebook have
    nothing else to start from. The encoder can undo the map, so no solution is lost.

    Source: data-dependent initialisation as in Kingma & Dhariwal 2018 (arXiv:1807.03039), section
    3.1; the matrix is the ZCA of Bell & Sejnowski 1997.

    Buffers:
        mean (D): subtracted.
        matrix (D, D): multiplied from the left.
    """

    mean: Float[Tensor, "D"]
    matrix: Float[Tensor, "D D"]

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("matrix", torch.eye(dim))

    def forward(self, z: Float[Tensor, "B D T"]) -> Float[Tensor, "B D T"]:
        """Return the mapped frames, in the map's dtype."""
        with without_autocast(z.device):
            return self.matrix @ (z.to(self.mean.dtype) - self.mean.view(1, -1, 1))

    @torch.no_grad()
    def initialise(self, z: Float[Tensor, "B D T"], mask: Bool[Tensor, "B 1 T"] | None) -> None:
        """Set the map from real frames; constant ones are only centred.

        Raises:
            ConfigError: there is no real frame, or one is not finite.
        """
        rows = rearrange(z, "b d t -> (b t) d").double()
        rows = rows if mask is None else rows[mask.flatten()]
        if len(rows) == 0 or not bool(torch.isfinite(rows).all()):
            raise ConfigError(f"whitening needs real, finite frames; {len(rows)} real ones given")
        centred = rows - rows.mean(dim=0)
        values, vectors = torch.linalg.eigh(centred.T @ centred / len(rows))
        scale = values.clamp_min(_FLOOR * float(values[-1])).clamp_min(1e-12).rsqrt()
        if float(values[-1]) <= 1e-12:
            scale = torch.ones_like(scale)
        self.mean.copy_(rows.mean(dim=0))
        self.matrix.copy_(vectors * scale @ vectors.T)
