"""LSTM over code sequences: the recurrent baseline."""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from audiovq.prior._base import Condition
from audiovq.prior._blocks import LOGITS
from audiovq.prior._columns import Carrying, in_columns
from audiovq.prior._condition import NOTHING, ConditionConfig
from audiovq.prior._delay import DelayedPrior, Network
from audiovq.prior._dropout import dropout


class Config(ConditionConfig):
    """Settings of the LSTM."""

    channels: int = Field(256, ge=1, le=8192, description="hidden units of each layer")
    layers: int = Field(1, ge=1, le=32, description="layers, each reading the one before")
    dropout: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="share of each layer's inputs, and of the last one's outputs, that training "
        "hides from a whole sequence",
    )


_ITEMS = 64  # scored at a time


class LSTM(DelayedPrior):
    """Recurrent layers over the columns of the delay pattern; unbounded context.

    Source: Hochreiter & Schmidhuber 1997; PixelRNN's part (van den Oord et al. 2016,
    arXiv:1601.06759) for one dimension. Dropout hides the same units in every frame of an item
    (Gal & Ghahramani 2016, arXiv:1512.05287), none between frames.
    """

    def __init__(self, config: Config, codebook_sizes: Sequence[int], labels: int = 0) -> None:
        super().__init__(config, codebook_sizes, labels, config.channels)
        self.config = config
        C = config.channels
        layers = nn.ModuleList(nn.LSTM(C, C, batch_first=True) for _ in range(config.layers))
        self.layers = cast("Sequence[nn.LSTM]", layers)
        for layer in self.layers:
            with torch.no_grad():  # remember at the start: Jozefowicz et al. 2015, section 2.2
                _weights(layer)[2][C : 2 * C].fill_(1.0)

    def columns(self, x: Float[Tensor, "B S C"], keys: Int[Tensor, "B"]) -> Float[Tensor, "B S C"]:
        """Run all layers from a state of zeros."""
        for i, layer in enumerate(self.layers):
            x, _ = layer(self._hide(x, keys, f"lstm.{i}"))
        return self._hide(x, keys, "lstm.last")

    def log_prob(
        self,
        codes: Int[Tensor, "B K T"],
        lengths: Int[Tensor, "B"] | None = None,
        condition: Condition = NOTHING,
    ) -> Float[Tensor, "B K T"]:
        """Return what the base class does, in blocks of columns that hand on their state."""
        if self.training:
            return super().log_prob(codes, lengths, condition)
        many = min(len(codes), _ITEMS)
        size = max(1, LOGITS // (many * max(*self.codebook_sizes, 4 * self.config.channels)))
        begin = self._carrying
        return in_columns(self, begin, codes, lengths, condition, many=many, size=size)

    def _carrying(self, batch: int) -> Carrying:  # noqa: ARG002  zeros are of any batch
        state: list[tuple[Tensor, Tensor] | None] = [None] * len(self.layers)

        def run(x: Tensor, known: Tensor | None) -> Tensor:
            x = x if known is None else x + known
            for i, layer in enumerate(self.layers):
                x, state[i] = layer(x, state[i])
            return x

        return run

    def begin(self, batch: int, columns: int) -> Network:  # noqa: ARG002  the state has one size
        """Start from a state of zeros."""
        return _Recurrence(self, batch)

    def _hide(
        self, x: Float[Tensor, "B S C"], keys: Int[Tensor, "B"], name: str
    ) -> Float[Tensor, "B S C"]:
        if not self.training or self.config.dropout == 0:
            return x
        return x * dropout(torch.ones_like(x[:, :1]), self.config.dropout, keys, name)


class _Recurrence(Network):
    """Hidden units and cells of every layer."""

    def __init__(self, prior: LSTM, batch: int) -> None:
        zeros = prior.rows.table.weight.new_zeros(batch, prior.config.channels)
        self._state = [(zeros, zeros)] * len(prior.layers)
        self._weights = [_weights(layer) for layer in prior.layers]

    def __call__(self, x: Float[Tensor, "B C"]) -> Float[Tensor, "B C"]:
        for i, (w_x, w_h, b_x, b_h) in enumerate(self._weights):
            self._state[i] = torch.lstm_cell(x, self._state[i], w_x, w_h, b_x, b_h)
            x = self._state[i][0]
        return x


def _weights(layer: nn.LSTM) -> tuple[Tensor, ...]:
    """Return weights of input and state, and their biases; gates in the order i, f, g, o."""
    return tuple(cast("list[Tensor]", layer.all_weights[0]))
