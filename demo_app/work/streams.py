"""Codes (K, T) as streams in time: rows that take turns within a frame are one stream."""

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Int
from torch import Tensor

Books = Sequence[int]  # which codebook each row of codes is from (`DiscreteBottleneck.books`)


def rows_of(books: Books) -> list[list[int]]:
    """Return the rows of each stream, in time order: one, or several of a faster one."""
    return [[k for k, book in enumerate(books) if book == b] for b in dict.fromkeys(books)]


def apart(codes: Int[Tensor, "K T"], books: Books) -> list[Int[Tensor, "_"]]:
    """Return each stream's codes in time order."""
    return [rearrange(codes[rows], "r t -> (t r)") for rows in rows_of(books)]


def together(streams: Sequence[Int[Tensor, "_"]], books: Books) -> Int[Tensor, "K T"]:
    """Return the codes of streams; the inverse of `apart`."""
    rows = rows_of(books)
    frames = streams[0].shape[0] // len(rows[0])
    codes = torch.empty(len(books), frames, dtype=streams[0].dtype)
    for stream, mine in zip(streams, rows, strict=True):
        codes[mine] = rearrange(stream, "(t r) -> r t", r=len(mine))
    return codes
