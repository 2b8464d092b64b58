"""Several discriminators as one module, which is what trains, is saved and goes to all ranks."""

from collections.abc import Sequence

import torch
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
        """Return all views of originals and of reconstructions, looked at in one batch.

        Args:
            x: originals, zero past each item's end.
            x_hat: reconstructions, zero past each item's end.
            lengths: real samples per item.
        """
        both, twice = torch.cat([x, x_hat]), torch.cat([lengths, lengths])
        views = [view for member in self.members for view in member(both, twice)]
        return tuple(v.half(0) for v in views), tuple(v.half(1) for v in views)
