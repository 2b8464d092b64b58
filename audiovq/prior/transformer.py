"""Transformer over code sequences: causal attention to a window, rotary positions."""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from audiovq.prior._attention import Attention, Cache, rotations
from audiovq.prior._condition import ConditionConfig
from audiovq.prior._delay import DelayedPrior, Network
from audiovq.prior._dropout import dropout


class Config(ConditionConfig):
    """Settings of the transformer."""

    channels: int = Field(128, ge=2, le=8192, description="channels of every layer")
    layers: int = Field(4, ge=1, le=64, description="layers of attention and feed-forward")
    heads: int = Field(4, ge=1, le=128, description="attention heads")
    window: int = Field(
        64, ge=1, le=1 << 20, description="columns that a layer attends to, its own included"
    )
    dropout: float = Field(
        0.2, ge=0, lt=1, description="probability that training hides what a layer adds"
    )

    @model_validator(mode="after")
    def _splits(self) -> "Config":
        if self.channels % (2 * self.heads):
            raise ValueError(
                f"channels={self.channels} does not split into {self.heads} heads of an even size: "
                f"give a multiple of {2 * self.heads}"
            )
        return self


class Transformer(DelayedPrior):
    """Pre-norm layers over the columns of the delay pattern.

    A layer attends to `window` columns, so with n layers a column depends on n * (window - 1)
    before its own, each of which holds the codes of the one before it.

    Source: Vaswani et al. 2017 (arXiv:1706.03762); pre-norm as in GPT-2; rotary positions of Su et
    al. 2021 (arXiv:2104.09864); windows as in Longformer (Beltagy et al. 2020, arXiv:2004.05150).
    """

    def __init__(self, config: Config, codebook_sizes: Sequence[int], labels: int = 0) -> None:
        super().__init__(config, codebook_sizes, labels, config.channels)
        self.config = config
        self.context = config.layers * (config.window - 1) + self.num_codebooks
        layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))
        self.layers = cast("Sequence[_Layer]", layers)
        self.norm = nn.LayerNorm(config.channels)
        nn.init.normal_(self.rows.table.weight, std=0.5)

    def columns(self, x: Float[Tensor, "B S C"], keys: Int[Tensor, "B"]) -> Float[Tensor, "B S C"]:
        """Run all layers over whole sequences, in time and memory linear in their length."""
        probability = self.config.dropout if self.training else 0.0
        angles = self.rotations(x.shape[1])
        x = dropout(x, probability, keys, "transformer.in")
        for i, layer in enumerate(self.layers):
            seen = layer.attention(layer.norm_1(x), angles)
            x = x + dropout(seen, probability, keys, f"transformer.{i}.attention")
            x = x + dropout(layer.feed(x), probability, keys, f"transformer.{i}.feed")
        return self.norm(x)  # type: ignore[no-any-return]

    def begin(self, batch: int, columns: int) -> Network:
        """Allocate keys and values of the last `window` columns."""
        return _Cached(self, batch, columns)

    def rotations(self, columns: int) -> Float[Tensor, "2 S R"]:
        """Return cosine and sine of the angles by which each column's keys are turned."""
        size = self.config.channels // self.config.heads
        return rotations(columns, size).to(self.norm.weight)


class _Layer(nn.Module):
    """Attention, then two linear layers, each reading a normalised sum."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        C, depth = config.channels, (2 * config.layers) ** -0.5
        self.norm_1, self.norm_2 = nn.LayerNorm(C), nn.LayerNorm(C)
        self.attention = Attention(C, config.heads, config.window)
        self.wide, self.narrow = nn.Linear(C, 4 * C), nn.Linear(4 * C, C)
        for layer in (self.attention.out, self.narrow):  # the sum's variance stays near 1
            with torch.no_grad():
                layer.weight.mul_(depth)

    def feed(self, x: Float[Tensor, "*B C"]) -> Float[Tensor, "*B C"]:
        """Return what the linear layers add."""
        return self.narrow(F.gelu(self.wide(self.norm_2(x))))  # type: ignore[no-any-return]


class _Cached(Network):
    """Keys and values of the last columns, in every layer."""

    def __init__(self, prior: Transformer, batch: int, columns: int) -> None:
        self._prior, self._angles, self._column = prior, prior.rotations(columns), 0
        self._caches = [Cache(layer.attention, batch, columns) for layer in prior.layers]

    def __call__(self, x: Float[Tensor, "B C"]) -> Float[Tensor, "B C"]:
        angles = self._angles[:, self._column]
        for layer, cache in zip(self._prior.layers, self._caches, strict=True):
            x = x + cache.attend(layer.norm_1(x), angles, self._column)
            x = x + layer.feed(x)
        self._column += 1
        return self._prior.norm(x)  # type: ignore[no-any-return]
