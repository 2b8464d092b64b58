"""Several discriminators as one module, which is what trains, is saved and goes to all ranks."""

from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor, nn

from audiovq import registry
from audiovq.discriminators._base import Discriminator, DiscriminatorConfig, View

Views = tuple[View, ...]


class Discriminators(nn.Module):
    """Every discriminator of a run.

    Attributes:
        labels: the name of each view, as `multi_period/period_2`.

    Args:
        configs: one per discriminator.
    """

    def __init__(self, configs: Sequence[DiscriminatorConfig]) -> None:
        super().__init__()
        self.configs = tuple(configs)
        owners = [registry.owner("discriminators", c) for c in configs]
        made: list[Discriminator] = [o.cls(c) for o, c in zip(owners, configs, strict=True)]
        self.members = nn.ModuleList(made)
        self.labels = tuple(
            f"{o.name}/{label}" for o, m in zip(owners, made, strict=True) for label in m.labels
        )

    def forward(
        self,
        x: Float[Tensor, "B 1 L"],
        x_hat: Float[Tensor, "B 1 L"],
        lengths: Int[Tensor, "B"],
    ) -> tuple[Views, Views]:
        """Return all views of originals and of reconstructions.

        One after the other, so that a gradient at x_hat does not go through the originals, too.

        Args:
            x: originals, zero past each item's end.
            x_hat: reconstructions, zero past each item's end.
            lengths: real samples per item.
        """
        return self._views(x, lengths), self._views(x_hat, lengths)

    def _views(self, x: Float[Tensor, "B 1 L"], lengths: Int[Tensor, "B"]) -> Views:
        return tuple(view for member in self.members for view in member(x, lengths))
