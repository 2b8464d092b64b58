"""The coder's copy of the transformer."""

import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from torch import nn

from audiovq.coding.fixed._delay import DelayedCopy, Network
from audiovq.coding.fixed._grid import (
    LIMIT,
    SUM_BITS,
    VALUE_BITS,
    WEIGHT_BITS,
    Linear,
    check_exact,
    limited,
    rounded,
    steps,
)
from audiovq.coding.fixed._tables import exponential, gelu, rotations
from audiovq.errors import ConfigError
from audiovq.prior._attention import Attention
from audiovq.prior.transformer import Transformer

_BASE = 10_000  # as `audiovq.prior._attention` has it
_SCALE = 20  # the largest weight of an attention is 2^20 steps
_NEAR = 2.0**19  # queries, keys and values in steps, at most: 128
_WIDEST = 1 << 13  # columns of a window: 2^20 * 2^19 * 2^13 is exact
_QUERIES = 128  # at a time


class TransformerCopy(DelayedCopy):
    """As `Transformer`; values are rounded after every layer, norm, rotation and attention."""

    def __init__(self, prior: Transformer) -> None:
        super().__init__(prior)
        self.layers = [_Layer(layer) for layer in prior.layers]
        self.norm = _Norm(prior.norm)
        self.size = prior.config.channels // prior.config.heads
        if prior.config.window > _WIDEST:
            raise ConfigError(
                f"a window of {prior.config.window} columns is too wide to compress with: up to "
                f"{_WIDEST} are exact; train a prior with such a window"
            )

    def rotations(self, columns: int) -> Float64[np.ndarray, "2 S R"]:
        """Return cosine and sine of the angles by which each column's keys are turned."""
        return np.stack(rotations(columns, self.size, _BASE))

    def columns(self, x: Float64[np.ndarray, "B S C"]) -> Float64[np.ndarray, "B S H"]:
        """Run all layers over whole sequences."""
        angles = self.rotations(x.shape[1])
        for layer in self.layers:
            x = limited(x + layer.attention.whole(layer.norm_1(x), angles))
            x = limited(x + layer.feed(x))
        return self.norm(x)

    def begin(self, batch: int, columns: int) -> Network:
        """Allocate keys and values of the last `window` columns."""
        return _Cached(self, batch, columns)


class _Norm:
    """Layer normalisation: mean and deviation from exact sums."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        self._weight, self._bias = steps(norm.weight, WEIGHT_BITS), steps(norm.bias, SUM_BITS)
        check_exact(np.abs(self._weight) * LIMIT + np.abs(self._bias))
        self._eps = float(norm.eps) * 4.0**VALUE_BITS
        self._limit = math.floor(math.sqrt(2.0**52 / len(self._weight)))  # of a value squared

    def __call__(self, x: Float64[np.ndarray, "*B C"]) -> Float64[np.ndarray, "*B C"]:
        C = x.shape[-1]
        x = np.rint(x - x.sum(axis=-1, keepdims=True) / C)
        x = np.maximum(np.minimum(x, self._limit), -self._limit)
        deviation = np.sqrt((x * x).sum(axis=-1, keepdims=True) / C + self._eps)
        return rounded(np.rint(x / deviation * 2.0**VALUE_BITS) * self._weight + self._bias)


class _Attention:
    """Attention to a window of the past."""

    def __init__(self, attention: Attention) -> None:
        self.heads, self.window = attention.heads, attention.window
        self._qkv = Linear(attention.qkv.weight)
        self._out = Linear(attention.out.weight, attention.out.bias)

    def project(
        self, x: Float64[np.ndarray, "B S C"], angles: Float64[np.ndarray, "2 S R"]
    ) -> Float64[np.ndarray, "3 B H S D"]:
        """Return queries and keys, turned, and values."""
        B, S, C = x.shape
        parts = rounded(self._qkv(x)).reshape(B, S, 3, self.heads, C // self.heads)
        parts = parts.transpose(2, 0, 3, 1, 4)
        a, b = np.split(parts[:2], 2, axis=4)
        cos, sin = angles
        turned = rounded(np.concatenate((a * cos - b * sin, b * cos + a * sin), axis=4))
        found = np.concatenate((turned, parts[2:]))
        return np.maximum(np.minimum(found, _NEAR), -_NEAR)  # type: ignore[no-any-return]

    def attend(
        self,
        q: Float64[np.ndarray, "B H Q D"],
        k: Float64[np.ndarray, "B H S D"],
        v: Float64[np.ndarray, "B H S D"],
        seen: Bool[np.ndarray, "Q S"],
    ) -> Float64[np.ndarray, "B Q C"]:
        """Return what some queries find in the keys that they see."""
        scale = 2.0**-VALUE_BITS / math.sqrt(q.shape[3])
        score = np.rint((q @ k.swapaxes(2, 3)) * scale)
        top = np.where(seen, score, -np.inf).max(axis=3, keepdims=True)
        below = np.maximum(top - score, 0.0).astype(np.int64)
        weight = exponential(_SCALE).take(below, mode="clip") * seen.astype(np.float64)
        found = np.rint((weight @ v) / weight.sum(axis=3, keepdims=True))
        B, H, Q, D = q.shape
        return rounded(self._out(found.transpose(0, 2, 1, 3).reshape(B, Q, H * D)))

    def whole(
        self, x: Float64[np.ndarray, "B S C"], angles: Float64[np.ndarray, "2 S R"]
    ) -> Float64[np.ndarray, "B S C"]:
        """Attend from every column, some at a time."""
        (q, k, v), S, found = self.project(x, angles), x.shape[1], []
        for start in range(0, S, _QUERIES):
            stop, first = min(start + _QUERIES, S), max(0, start - self.window + 1)
            ago = np.arange(start, stop)[:, np.newaxis] - np.arange(first, stop)
            seen = (ago >= 0) & (ago < self.window)
            keys = slice(first, stop)
            found.append(self.attend(q[:, :, start:stop], k[:, :, keys], v[:, :, keys], seen))
        return np.concatenate(found, axis=1)


class _Layer:
    """Attention, then two linear layers, each reading a normalised sum."""

    def __init__(self, layer: Any) -> None:
        self.norm_1, self._norm_2 = _Norm(layer.norm_1), _Norm(layer.norm_2)
        self.attention = _Attention(layer.attention)
        self._wide = Linear(layer.wide.weight, layer.wide.bias)
        self._narrow = Linear(layer.narrow.weight, layer.narrow.bias)

    def feed(self, x: Float64[np.ndarray, "*B C"]) -> Float64[np.ndarray, "*B C"]:
        """Return what the linear layers add."""
        return rounded(self._narrow(gelu(rounded(self._wide(self._norm_2(x))))))


class _Cached(Network):
    """Keys and values of the last columns, in every layer: column s in slot s modulo the window."""

    def __init__(self, copy: TransformerCopy, batch: int, columns: int) -> None:
        self._copy, self._angles, self._column = copy, copy.rotations(columns), 0
        attention = copy.layers[0].attention
        self._slots = min(attention.window, columns)
        shape = (len(copy.layers), 2, batch, attention.heads, self._slots, copy.size)
        self._held = np.empty(shape)

    def __call__(self, x: Float64[np.ndarray, "B C"]) -> Float64[np.ndarray, "B H"]:
        s, x = self._column, x[:, np.newaxis]
        slot, filled = s % self._slots, min(s + 1, self._slots)
        seen, angles = np.ones((1, filled), dtype=np.bool_), self._angles[:, s : s + 1]
        for layer, held in zip(self._copy.layers, self._held, strict=True):
            found = layer.attention.project(layer.norm_1(x), angles)
            held[:, :, :, slot] = found[1:, :, :, 0]
            k, v = held[:, :, :, :filled]
            x = limited(x + layer.attention.attend(found[0], k, v, seen))
            x = limited(x + layer.feed(x))
        self._column += 1
        return self._copy.norm(x)[:, 0]
