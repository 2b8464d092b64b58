"""How the decoder's gradient passes a quantizer, whose own derivative is zero or undefined."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

EstimatorName = Literal["straight_through", "rotation"]
Estimator = Callable[[Float[Tensor, "R D"], Float[Tensor, "R D"]], Float[Tensor, "R D"]]


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, z_q: Tensor) -> Tensor:  # noqa: ARG004
        return z_q.view_as(z_q)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        return grad[0], None


def straight_through(z: Float[Tensor, "*S"], z_q: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """Return z_q itself, bit for bit, with its gradient going to z.

    The usual `z + (z_q - z).detach()` equals z_q for only about two thirds of the elements.

    Source: Bengio et al. 2013 (arXiv:1308.3432); van den Oord et al. 2017, section 3.2.
    """
    return _StraightThrough.apply(z, z_q)  # type: ignore[no-any-return, no-untyped-call]


class _Rotation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, z_q: Tensor) -> Tensor:
        ctx.save_for_backward(z, z_q)
        return z_q.view_as(z_q)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None]:
        z, z_q = ctx.saved_tensors
        g = grad[0]
        size, size_q = (v.norm(dim=1, keepdim=True) for v in (z, z_q))
        length, length_q = size.clamp_min(1e-6), size_q.clamp_min(1e-6)
        e, q = z / length, z_q / length_q
        r = e + q
        # The rotation is R = I - 2 r r'/|r|^2 + 2 q e'; the gradient goes back through R'.
        along_r = (r * g).sum(1, keepdim=True) / r.square().sum(1, keepdim=True).clamp_min(1e-6)
        along_q = (q * g).sum(1, keepdim=True)
        turned = (g - 2 * along_r * r + 2 * along_q * e) * (length_q / length)
        return torch.where((size > 1e-6) & (size_q > 1e-6), turned, g), None  # 0 has no direction


def rotate(z: Float[Tensor, "R D"], z_q: Float[Tensor, "R D"]) -> Float[Tensor, "R D"]:
    """Return z_q itself, its gradient turned and scaled as z would have to be to become z_q.

    So the angle between gradient and code is the angle between the encoder's gradient and output.

    Source: Fifty et al. 2024 (arXiv:2410.06424), section 4.
    """
    return _Rotation.apply(z, z_q)  # type: ignore[no-any-return, no-untyped-call]


ESTIMATORS: dict[EstimatorName, Estimator] = {
    "straight_through": straight_through,
    "rotation": rotate,
}
