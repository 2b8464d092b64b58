"""Looking codes up in a small space of their own, between two linear projections."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from audiovq.config import Config
from audiovq.nn.precision import without_autocast


class FactorisedConfig(Config):
    """Settings of a factorised lookup."""

    dim: int = Field(8, ge=1, le=4096, description="dimension in which codes are looked up")
    normalise: bool = Field(True, description="whether frames and codes have length 1 there")


class Factorised(nn.Module):
    """Project frames to a low dimension, and the codes found there back.

    Source: Yu et al. 2021 (ViT-VQGAN, arXiv:2110.04627), section 3.2; used in DAC (Kumar et al.
    2023, arXiv:2306.06546, section 3.1). Low-dimensional codes on the unit sphere are nearly all
    used.
    """

    def __init__(self, config: FactorisedConfig, dim: int) -> None:
        super().__init__()
        self.config, self.dim = config, config.dim
        self.sphere = config.normalise
        self.down, self.up = nn.Linear(dim, config.dim), nn.Linear(config.dim, dim)

    def enter(self, rows: Float[Tensor, "R D"]) -> Float[Tensor, "R d"]:
        """Return the rows where codes are looked up."""
        with without_autocast(rows.device):
            low = self.down(rows)
            return F.normalize(low, dim=1) if self.sphere else low

    def leave(self, low: Float[Tensor, "R d"]) -> Float[Tensor, "R D"]:
        """Return what the decoder receives for rows of codes."""
        with without_autocast(low.device):
            return self.up(low)  # type: ignore[no-any-return]


class Direct(nn.Module):
    """No projection: codes live where the frames do."""

    sphere = False

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def enter(self, rows: Float[Tensor, "R D"]) -> Float[Tensor, "R D"]:
        """Return the rows."""
        return rows

    def leave(self, low: Float[Tensor, "R D"]) -> Float[Tensor, "R D"]:
        """Return the rows."""
        return low
