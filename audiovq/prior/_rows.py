"""Rows of codes on their way into a network, and out of it."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


class Rows(nn.Module):
    """Embeds codes; every row has its own table, with one more entry for where no code is.

    Buffers:
        offset: where each row's part of the table starts; its entry for no code comes last.
    """

    offset: Tensor
    nothing: Tensor

    def __init__(self, sizes: Sequence[int], channels: int) -> None:
        super().__init__()
        counts = torch.tensor(sizes) + 1
        self.table = nn.Embedding(sum(sizes) + len(sizes), channels)
        ends = counts.cumsum(0)
        self.register_buffer("offset", ends - counts, persistent=False)
        self.register_buffer("nothing", ends - 1, persistent=False)

    def entries(
        self, codes: Int[Tensor, "B K T"], inside: Bool[Tensor, "B T"] | None
    ) -> Int[Tensor, "B K T"]:
        """Return the entries that codes have in the table; past an end, those of no code."""
        found = codes + self.offset.view(1, -1, 1)
        if inside is None:
            return found
        return torch.where(inside.unsqueeze(1), found, self.nothing.view(1, -1, 1))

    def later(self, entries: Int[Tensor, "B K T"], by: Sequence[int], size: int) -> Tensor:
        """Return (B, K, size): row k of the entries moved by[k] frames on, no code elsewhere."""
        out = self.nothing.view(1, -1, 1).repeat(len(entries), 1, size)
        for k, shift in enumerate(by):
            part = entries[:, k, : max(size - shift, 0)]
            out[:, k, shift : shift + part.shape[1]] = part
        return out


class Heads(nn.Module):
    """One linear layer per row of codes, from channels to logits; -inf beyond a row's size.

    Buffers:
        beyond: 0 where a row has a code, -inf where it has none.
    """

    beyond: Tensor

    def __init__(self, sizes: Sequence[int], channels: int) -> None:
        super().__init__()
        self.rows, self.largest = len(sizes), max(sizes)
        self.linear = nn.Linear(channels, self.rows * self.largest)
        short = torch.arange(self.largest) >= torch.tensor(sizes).unsqueeze(1)
        beyond = torch.zeros(short.shape).masked_fill(short, -torch.inf)
        self.register_buffer("beyond", beyond, persistent=False)

    def forward(self, h: Float[Tensor, "B T C"], k: int) -> Float[Tensor, "B N T"]:
        """Return the logits of row k."""
        return self.scores(h, k).transpose(1, 2)

    def scores(self, h: Float[Tensor, "B T C"], k: int) -> Float[Tensor, "B T N"]:
        """Return the logits of row k, those of a code side by side."""
        part = slice(k * self.largest, (k + 1) * self.largest)
        bias = self.linear.bias[part] + self.beyond[k]
        return F.linear(h, self.linear.weight[part], bias)

    def fused(self) -> tuple[Float[Tensor, "C KN"], Float[Tensor, "KN"]]:
        """Return weight and bias of all rows at once, detached, to multiply from the right."""
        bias = self.linear.bias + self.beyond.flatten()
        return self.linear.weight.detach().t().contiguous(), bias.detach()


def inside_of(lengths: Int[Tensor, "B"] | None, frames: int) -> Bool[Tensor, "B T"] | None:
    """Return which frames are before their item's end; None if all are."""
    if lengths is None:
        return None
    return torch.arange(frames, device=lengths.device) < lengths.unsqueeze(1)
