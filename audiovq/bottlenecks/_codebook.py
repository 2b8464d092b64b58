"""Pure functions on codebooks, shared by the bottlenecks that have one.

Rows are frames: z is (R, D) with R = B * T. Nothing here builds an R x N x D tensor, a float
one-hot, or more than one block of the R x N scores.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from audiovq.bottlenecks._base import EMPTY, Candidates
from audiovq.errors import ConfigError
from audiovq.nn import random
from audiovq.nn.precision import without_autocast

# Bytes of scores per block: on a CPU a block that stays in a core's cache is twice as fast as one
# large product; on a GPU launches cost more than memory.
_BLOCK_BYTES = {"cpu": 2 << 20, "cuda": 256 << 20}


def half_norms(codebook: Float[Tensor, "N D"]) -> Float[Tensor, "N"]:
    """Return |e|^2 / 2 of every code, in float32 or better."""
    return codebook.to(torch.promote_types(codebook.dtype, torch.float32)).square().sum(dim=1) / 2


def nearest(
    z: Float[Tensor, "R D"],
    codebook: Float[Tensor, "N D"],
    norms: Float[Tensor, "N"] | None = None,
) -> Int[Tensor, "R"]:
    """Return the index of the nearest code of every row; ties go to the lowest index.

    Minimises |e|^2 / 2 - z.e, block by block, in float32 or better whatever the autocast state.
    `norms`, the `half_norms` of the codebook, are computed where they are not given.
    """
    R, N = z.shape[0], codebook.shape[0]
    dtype = torch.promote_types(z.dtype, torch.float32)
    rows = max(1, _BLOCK_BYTES.get(z.device.type, 2 << 20) // (4 * N))
    heard = None if torch.compiler.is_compiling() else _listener.get()
    with without_autocast(z.device):
        z, codebook = z.to(dtype), codebook.to(dtype)
        norms = half_norms(codebook) if norms is None else norms.to(dtype)
        # A graph for any number of rows has no blocks of them; a few rows are one block.
        if torch.compiler.is_exporting() or (rows >= R and heard is None):
            return torch.addmm(norms, z, codebook.T, alpha=-1.0).argmin(dim=1)
        return _in_blocks(z, codebook, norms, rows, heard)


@torch.no_grad()
def _in_blocks(
    z: Float[Tensor, "R D"],
    codebook: Float[Tensor, "N D"],
    norms: Float[Tensor, "N"],
    rows: int,
    heard: list[Tensor] | None,
) -> Int[Tensor, "R"]:
    """Return the index of the nearest code, so many rows at a time; `heard` hears the margins."""
    codes = torch.empty(len(z), dtype=torch.int64, device=z.device)
    scores = torch.empty(min(rows, len(z)), len(codebook), device=z.device, dtype=z.dtype)
    for start in range(0, len(z), rows):
        block = z[start : start + rows]
        out = scores[: len(block)]
        torch.addmm(norms, block, codebook.T, alpha=-1.0, out=out)
        torch.argmin(out, dim=1, out=codes[start : start + rows])
        if heard is not None:
            heard.append(_margin(out, block, codebook))
    return codes


_listener: ContextVar[list[Tensor] | None] = ContextVar("margins", default=None)


@contextmanager
def listening() -> Iterator[list[Float[Tensor, "_"]]]:
    """Collect, block by block, the margin of every search for a nearest code within the context.

    A margin is the relative change of a row that would give it another code: its distance from
    the plane half way between best and second code, over its length. Rounding changes rows by
    about 1e-7.
    """
    heard: list[Tensor] = []
    token = _listener.set(heard)
    try:
        yield heard
    finally:
        _listener.reset(token)


def _margin(
    scores: Float[Tensor, "R N"], rows: Float[Tensor, "R D"], codebook: Float[Tensor, "N D"]
) -> Float[Tensor, "R"]:
    if scores.shape[1] < 2:
        return torch.full((len(rows),), torch.inf)
    best = scores.topk(2, dim=1, largest=False)
    first, second = codebook[best.indices].unbind(dim=1)
    apart = (first - second).norm(dim=1) * rows.norm(dim=1)
    gap = (best.values[:, 1] - best.values[:, 0]).clamp_min(0.0)
    return torch.where(apart > 0, gap / apart.clamp_min(1e-30), 0.0).cpu()


class _SquaredDistance(torch.autograd.Function):
    """Mean over D of (z - z_q)^2, without a temporary of z's size; saves z and z_q themselves."""

    _ROWS = 4096

    @staticmethod
    def forward(ctx: Any, z: Tensor, z_q: Tensor) -> Tensor:
        ctx.save_for_backward(z, z_q)
        rows = _SquaredDistance._ROWS
        parts = [
            (z[i : i + rows] - z_q[i : i + rows]).square_().mean(dim=1)
            for i in range(0, len(z), rows)
        ]
        return torch.cat(parts) if parts else z.new_zeros(0)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        z, z_q = ctx.saved_tensors
        scaled = (z - z_q).mul_((grad[0] * (2.0 / z.shape[1])).unsqueeze(1))
        to_z, to_q = ctx.needs_input_grad
        return scaled if to_z else None, -scaled if to_q else None


def squared_distance(z: Float[Tensor, "R D"], z_q: Float[Tensor, "R D"]) -> Float[Tensor, "R"]:
    """Return the mean squared difference of every row, differentiable in both arguments."""
    if torch.compiler.is_compiling():  # which fuses the plain formula just as well
        return (z - z_q).square().mean(dim=1)
    return _SquaredDistance.apply(z, z_q)  # type: ignore[no-any-return, no-untyped-call]


def count_and_sum(
    z: Float[Tensor, "R D"], codes: Int[Tensor, "R"], size: int, real: Bool[Tensor, "R"] | None
) -> tuple[Float[Tensor, "N"], Float[Tensor, "N D"]]:
    """Return how many real rows each code was given, and the sum of those rows."""
    if real is not None:  # what is not real goes to one code beyond the last
        codes = torch.where(real, codes, size)
    counts = count(codes, size, real).to(z.dtype)
    sums = z.new_zeros(size + 1, z.shape[1]).index_add_(0, codes, z)
    return counts, sums[:size]


def count(codes: Int[Tensor, "R"], size: int, real: Bool[Tensor, "R"] | None) -> Float[Tensor, "N"]:
    """Return how many real rows each code was given."""
    if real is not None:
        codes = torch.where(real, codes, size)
    ones = torch.ones(len(codes), device=codes.device)
    return torch.zeros(size + 1, device=codes.device).index_add_(0, codes, ones)[:size]


@dataclass(frozen=True)
class Draw:
    """Some rows of a batch, each a pure function of its item's key and its frame.

    Attributes:
        hashes: ascending; `EMPTY` where there are too few real rows.
        index: the rows.
    """

    hashes: Int[Tensor, "M"]
    index: Int[Tensor, "M"]

    def of(self, z: Float[Tensor, "R D"]) -> Candidates:
        """Return the drawn rows of z; zeros where there are too few."""
        frames = torch.where((self.hashes != EMPTY).unsqueeze(1), z[self.index], 0.0)
        return Candidates(hashes=self.hashes, frames=frames)


def draw(
    keys: Int[Tensor, "B"], frames: int, real: Bool[Tensor, "R"] | None, size: int, name: str
) -> Draw:
    """Draw up to `size` real rows of a batch.

    Args:
        keys: of the items.
        frames: rows per item.
        real: which rows count; None: all.
        size: rows to draw.
        name: of the draw.
    """
    hashes = random.bits(keys, name, frames).flatten()
    if real is not None:
        hashes = torch.where(real, hashes, EMPTY)
    kept, index = hashes.topk(min(size, len(hashes)), largest=False)
    if missing := size - len(kept):
        kept = torch.cat([kept, kept.new_full((missing,), EMPTY)])
        index = torch.cat([index, index.new_zeros(missing)])
    return Draw(kept, index)


def kmeans(
    z: Float[Tensor, "R D"], size: int, *, iterations: int, seed: int = 0
) -> Float[Tensor, "N D"]:
    """Cluster rows by Lloyd's algorithm; a cluster that loses all rows is drawn again.

    Args:
        z: rows; where they are fewer than clusters, copies of them are spread a little.
        size: number of clusters N.
        iterations: assignments and means to alternate.
        seed: decides the first centres.

    Raises:
        ConfigError: there is no row, or one is not finite.
    """
    if len(z) == 0 or not bool(torch.isfinite(z).all()):
        raise ConfigError(
            f"a codebook is clustered from real, finite frames; {len(z)} given, "
            f"{int(torch.isfinite(z).all(dim=1).sum())} finite"
        )
    key = torch.tensor([seed], device=z.device)
    order = random.bits(key, "k-means rows", len(z))[0].argsort()
    centres = z[order[torch.arange(size, device=z.device) % len(z)]].clone()
    spread = z.std(dim=0, correction=0).mean() * 1e-3
    noise = random.normal(key, "k-means spread", size * z.shape[1])[0].view(size, -1)
    copies = (torch.arange(size, device=z.device) >= len(z)).unsqueeze(1)
    centres += torch.where(copies, noise * spread, 0.0)
    for step in range(iterations):
        counts, sums = count_and_sum(z, nearest(z, centres), size, None)
        fresh = random.bits(key, f"k-means again {step}", len(z))[0].argsort()
        fresh = fresh[torch.arange(size, device=z.device) % len(z)]
        means = sums / counts.clamp_min(1.0).unsqueeze(1)
        again = z[fresh] + noise * spread if len(z) < size else z[fresh]
        centres = torch.where((counts > 0).unsqueeze(1), means, again)
    return centres
