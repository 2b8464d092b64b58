"""What discriminators and what they judge minimise; all per item, in float32.

Each is the mean over views of the mean over an item's own verdicts, so neither the number of views
nor padding weighs anything.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from audiovq.discriminators._base import Map, View

Form = Literal["hinge", "least_squares"]

FLOOR = 0.01  # added to the mean feature of an original; of speech at its usual level it is about 1

# What a verdict costs that ought to be high, and one that ought to be low.
_High = Callable[[Tensor], Tensor]
_HIGH: dict[Form, _High] = {
    "hinge": lambda v: F.relu(1.0 - v),
    "least_squares": lambda v: (v - 1.0).square(),
}
_LOW: dict[Form, _High] = {
    "hinge": lambda v: F.relu(1.0 + v),
    "least_squares": torch.square,
}
_BETWEEN: dict[Form, float] = {"hinge": 0.0, "least_squares": 0.5}


def discriminator_loss(
    form: Form, original: Sequence[View], reconstruction: Sequence[View]
) -> Float[Tensor, "B"]:
    """Return the cost of taking one for the other.

    Source: hinge: Lim & Ye 2017 (arXiv:1705.02894), as in EnCodec (Defossez et al. 2022,
    arXiv:2210.13438), section 3.4; least_squares: Mao et al. 2017 (arXiv:1611.04076), as in
    HiFi-GAN (Kong et al. 2020, arXiv:2010.05646), section 2.4.
    """
    pairs = zip(original, reconstruction, strict=True)
    return _over_views([_cost(_HIGH[form], a) + _cost(_LOW[form], b) for a, b in pairs])


def generator_loss(form: Form, reconstruction: Sequence[View]) -> Float[Tensor, "B"]:
    """Return the cost of reconstructions being told apart.

    Source: hinge: EnCodec, section 3.4, max(0, 1 - D(x_hat)); least_squares: HiFi-GAN,
    section 2.4.
    """
    return _over_views([_cost(_HIGH[form], view) for view in reconstruction])


def feature_loss(original: Sequence[View], reconstruction: Sequence[View]) -> Float[Tensor, "B"]:
    """Return the distance of features, over their size; no gradient goes to the originals'.

    Source: EnCodec, section 3.4, after Larsen et al. 2016 (arXiv:1512.09300); relative, so that no
    layer weighs more for being larger, as it would in HiFi-GAN's plain L1.
    Differs in: features' size is the item's mean, not the batch's, and has a floor for silence.
    """
    return _over_views([_relative(a, b) for a, b in zip(original, reconstruction, strict=True)])


def accuracy(
    form: Form, views: Sequence[View], *, original: bool
) -> tuple[Float[Tensor, "B"], ...]:
    """Return, for every view, the share of verdicts on the right side, in [0, 1]."""
    high = [v.logits.mean((v.logits.values > _BETWEEN[form]).float()) for v in views]
    return tuple(h if original else 1.0 - h for h in high)


def _cost(each: _High, view: View) -> Float[Tensor, "B"]:
    return view.logits.mean(each(view.logits.values.float()))


def _relative(original: View, reconstruction: View) -> Float[Tensor, "B"]:
    each = [
        _distance(a, b) for a, b in zip(original.features, reconstruction.features, strict=True)
    ]
    return torch.stack(each).mean(dim=0)


def _distance(a: Map, b: Map) -> Float[Tensor, "B"]:
    target = a.values.detach().float()
    return a.mean((b.values.float() - target).abs()) / (a.mean(target.abs()) + FLOOR)


def _over_views(each: Sequence[Float[Tensor, "B"]]) -> Float[Tensor, "B"]:
    return torch.stack(list(each)).mean(dim=0)
