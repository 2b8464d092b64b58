"""Dilated residual unit, the repeated part of encoder and decoder."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from audiovq.nn import lean, stepping
from audiovq.nn.activations import ActivationName, activation
from audiovq.nn.conv import Conv1d, Span, weight_norm
from audiovq.nn.stepping import Step


class ResidualUnit(nn.Module):
    """x + conv1(act(conv_k(act(x)))): a dilated convolution to half the channels and back.

    Source: SEANet as in SoundStream (Zeghidour et al. 2021, section III.A); pre-activation.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int,
        dilation: int,
        activation_name: ActivationName,
        causal: bool,
    ) -> None:
        super().__init__()
        hidden = max(1, channels // 2)
        self.act_in = activation(activation_name, channels)
        self.dilated = Conv1d(channels, hidden, kernel_size, dilation=dilation, causal=causal)
        self.act_out = activation(activation_name, hidden)
        self.pointwise = Conv1d(hidden, channels, 1, gain=0.5)  # near the identity at the start
        weight_norm(self.dilated)
        weight_norm(self.pointwise)

    def forward(
        self, x: Float[Tensor, "B C L"], mask: Float[Tensor, "#B 1 _"] | None = None
    ) -> Float[Tensor, "B C L"]:
        """Return x plus its dilated neighbourhood's contribution."""
        y = self.dilated(self.act_in(x), mask, spare=True)
        y = self.pointwise(lean.activate(self.act_out, y))
        return y.add_(x) if lean.applies(x) else x + y  # type: ignore[no-any-return]

    def initial_state(self, batch: int, like: Tensor) -> Float[Tensor, "B P C"]:
        """Return the state before the first input, in the dtype and on the device of `like`."""
        return self.dilated.initial_state(batch, like)

    def stepper(self) -> Step:
        """Return what does as `forward` of the next rows."""
        act_in, act_out = (stepping.activation(a) for a in (self.act_in, self.act_out))
        near, back = stepping.convolved(self.dilated), stepping.convolved(self.pointwise)

        def step(
            x: Float[Tensor, "B L C"], past: Float[Tensor, "B P C"]
        ) -> tuple[Float[Tensor, "B L C"], Float[Tensor, "B P C"]]:
            rows = torch.cat([past, act_in(x)], dim=1)
            y = stepping.apart(back(act_out(near(rows))), x.shape[0])
            return x + y, rows.narrow(1, x.shape[1], past.shape[1])

        return step

    def input_span(self, out: Span) -> Span:
        """Return the inputs that the outputs `out` depend on."""
        return out | self.dilated.input_span(out)
