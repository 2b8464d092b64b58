"""Contractive autoencoder: a small change of the waveform may change the latents little."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from audiovq.bottlenecks._base import Bottleneck, BottleneckOutput, Context
from audiovq.bottlenecks._jitter import keys_of
from audiovq.config import ComponentConfig
from audiovq.errors import ConfigError
from audiovq.nn import random


class Config(ComponentConfig):
    """Settings of the contractive autoencoder."""

    dim: int = Field(64, ge=1, le=4096, description="latent units D")
    weight: float = Field(1e-4, ge=0, description="lambda, of |dh/dx|^2 per frame")
    probes: int = Field(1, ge=1, le=64, description="random projections of the Jacobian per step")


class Contractive(Bottleneck):
    """Activations h = sigmoid(z) with weight * |dh/dx|_F^2 added to the loss.

    The squared Frobenius norm of the Jacobian of all latents by all samples of an item is
    estimated by Hutchinson's trick: E_v |v' dh/dx|^2 for v of random signs, exact in expectation,
    one backward pass per probe. A frame's share is that of its own samples.

    Source: Rifai et al. 2011 (ICML, "Contractive auto-encoders"), eq. 3; Hutchinson 1990. Needs
    double backward, so it cannot be compiled, and a step costs about twice as much.
    """

    needs_input_gradient = True

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.in_channels = self.out_channels = config.dim

    def forward(self, z: Float[Tensor, "B D T"], context: Context = Context()) -> BottleneckOutput:
        """Return activations in (0, 1) and the penalty.

        Args:
            z: encoder output, computed from `context.x`.
            context: `x` must be the waveform as a leaf with gradient.

        Raises:
            ConfigError: there is no such x to differentiate by.
        """
        if context.x is None or not context.x.requires_grad:
            raise ConfigError(
                "the contractive bottleneck needs the waveform as Context.x, with gradient; "
                "Autoencoder.forward gives it, torch.compile cannot"
            )
        h = z.sigmoid()
        norms = [
            self._probe(h, context, f"contractive probe {i}") for i in range(self.config.probes)
        ]
        norm = torch.stack(norms).mean(dim=0)
        if context.mask is not None:
            norm = torch.where(context.mask.squeeze(1), norm, 0.0)
        return BottleneckOutput(
            z=h,
            loss=self.config.weight * norm,
            metrics={"jacobian": norm.detach().sum(dim=1)},
        )

    def embed(self, z: Float[Tensor, "B C T"], context: Context) -> Float[Tensor, "B D T"]:
        """Return the activations."""
        del context
        return z.sigmoid()

    def _probe(
        self, h: Float[Tensor, "B D T"], context: Context, name: str
    ) -> Float[Tensor, "B T"]:
        """Return |v' dh/dx|^2 of one random v, by the frame whose samples x are."""
        B, D, T = h.shape
        signs = random.bits(keys_of(context, h), name, T * D).view(B, T, D).transpose(1, 2)
        v = 1.0 - 2.0 * (signs & 1).to(h.dtype)
        if context.mask is not None:
            v = v * context.mask
        assert context.x is not None
        # kept, for the probes to come and for whoever differentiates the output in evaluation
        (gradient,) = torch.autograd.grad(
            h, context.x, v, create_graph=self.training, retain_graph=True
        )
        return gradient.view(B, T, -1).square().sum(dim=2)
