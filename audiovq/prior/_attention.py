"""Causal attention to a window of the past: over whole sequences, or one column at a time."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

_BASE = 10_000.0  # Su et al. 2021, section 3.2.2


class Attention(nn.Module):
    """Attention of every column to itself and the `window` - 1 before it.

    Args:
        channels: in and out.
        heads: divides the channels.
        window: columns seen, the own included.
    """

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.out = nn.Linear(channels, channels)

    def forward(
        self, x: Float[Tensor, "B S C"], angles: Float[Tensor, "2 S R"]
    ) -> Float[Tensor, "B S C"]:
        """Attend, in blocks as long as the window: a query's keys are in its block or the last."""
        q, k, v = (y.transpose(1, 2) for y in self.project(x))  # (B, H, S, C / H)
        q, k = turn(q, angles), turn(k, angles)
        size, S = min(self.window, x.shape[1]), x.shape[1]
        if size == S:
            seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.out(seen.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]
        q, k, v = (_blocks(y, size) for y in (q, k, v))
        k, v = (torch.cat((F.pad(y, (0, 0, 0, 0, 1, -1)), y), dim=3) for y in (k, v))
        mask = _mask(q.shape[2], size, x.device)
        # Blocks take the place of heads, which join the batch: the fast kernels take four axes.
        seen = F.scaled_dot_product_attention(
            q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), attn_mask=mask
        )
        seen = seen.view(len(x), self.heads, -1, seen.shape[-1])[:, :, :S]
        return self.out(seen.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def project(self, x: Float[Tensor, "*B C"]) -> tuple[Tensor, ...]:
        """Return queries, keys and values, (*B, H, C / H)."""
        return self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(-3)  # type: ignore[no-any-return]


class Cache:
    """Keys and values of the last columns, as many as the window: column s in slot s modulo it."""

    def __init__(self, attention: Attention, batch: int, columns: int) -> None:
        self._attention = attention
        self._slots = min(attention.window, columns)
        weight, H = attention.out.weight, attention.heads
        shape = (2, batch, H, self._slots, weight.shape[0] // H)
        self._keys, self._values = weight.new_empty(shape).unbind(0)

    def attend(
        self, x: Float[Tensor, "B C"], angles: Float[Tensor, "2 R"], column: int
    ) -> Float[Tensor, "B C"]:
        """Attend from the next column, of that number."""
        q, k, v = self._attention.project(x)
        slot, filled = column % self._slots, min(column + 1, self._slots)
        self._keys[:, :, slot], self._values[:, :, slot] = turn(k, angles), v
        q = turn(q, angles).unsqueeze(2)
        keys, values = self._keys[:, :, :filled], self._values[:, :, :filled]
        seen = F.scaled_dot_product_attention(q, keys, values)
        return self._attention.out(seen.flatten(1))  # type: ignore[no-any-return]


def rotations(columns: int, size: int) -> Float[Tensor, "2 S R"]:
    """Return cosine and sine of every column's angles; float64, exact however far the column."""
    speed = _BASE ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    angle = torch.arange(columns, dtype=torch.float64).unsqueeze(1) * speed
    return torch.stack((angle.cos(), angle.sin()))


def turn(x: Float[Tensor, "*B D"], angles: Float[Tensor, "2 *S R"]) -> Float[Tensor, "*B D"]:
    """Turn each pair of a vector's halves by its angle."""
    cos, sin = angles
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


def _blocks(x: Float[Tensor, "B H S D"], size: int) -> Float[Tensor, "B H blocks size D"]:
    B, H, S, D = x.shape
    return F.pad(x, (0, 0, 0, -S % size)).view(B, H, -1, size, D)


def _mask(blocks: int, size: int, device: torch.device) -> Bool[Tensor, "blocks size _"]:
    """Return which keys, of the block before and their own, the queries of each block see."""
    query = torch.arange(size, 2 * size, device=device).unsqueeze(1)
    key = torch.arange(2 * size, device=device)
    seen = (key <= query) & (key > query - size)
    first = seen & (key >= size)  # there is no block before
    return torch.cat((first.unsqueeze(0), seen.expand(blocks - 1, -1, -1)))
