"""No bottleneck: the plain autoencoder, upper bound of every comparison."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from audiovq.bottlenecks._base import Bottleneck, BottleneckOutput, Context
from audiovq.config import ComponentConfig


class Config(ComponentConfig):
    """Settings of the plain autoencoder."""

    dim: int = Field(64, ge=1, le=4096, description="channels of the latent sequence")


class Identity(Bottleneck):
    """Pass the encoder's output on unchanged, at no cost."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.in_channels = self.out_channels = config.dim

    def forward(self, z: Float[Tensor, "B C T"], context: Context = Context()) -> BottleneckOutput:
        """Return z itself; the loss is 0."""
        del context
        return BottleneckOutput(z=z, loss=z.new_zeros(z.shape[0], z.shape[2]))
