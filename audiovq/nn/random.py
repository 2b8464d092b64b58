"""Random draws that are pure functions of (item key, name of the draw, position).

A counter-based hash in integer tensor operations: no generator, no state, the same bits on every
device. Ranks, micro-batches, workers and recomputation therefore change nothing, and no library
module touches the global generator.

Source: the finaliser of splitmix64 (Steele et al. 2014, "Fast splittable pseudorandom number
generators"), applied twice so that neighbouring keys and positions are unrelated.
"""

import hashlib
import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

_GOLDEN = -7046029254386353131  # 2^64 / golden ratio, as a signed 64-bit integer
_MIX_1 = -4658895280553007687  # the two odd multipliers of splitmix64
_MIX_2 = -7723592293110705685


def bits(keys: Int[Tensor, "B"], name: str, size: int) -> Int[Tensor, "B {size}"]:
    """Draw 64 random bits for each item and position.

    Args:
        keys: one integer per item; equal keys draw equal values.
        name: what is drawn; different names are independent.
        size: positions (frames, samples, elements) per item.

    Returns:
        int64, uniform over all 2^64 values, sign included.
    """
    salt = _salt(name)
    counters = torch.arange(1, size + 1, device=keys.device, dtype=torch.int64) * _GOLDEN
    return _mix(_mix(keys.to(torch.int64) + salt).unsqueeze(1) + counters)


def uniform(keys: Int[Tensor, "B"], name: str, size: int) -> Float[Tensor, "B {size}"]:
    """Draw float32 values in [0, 1), multiples of 2^-24; arguments as in `bits`."""
    return ((bits(keys, name, size) >> 40) & 0xFFFFFF).to(torch.float32) * 2.0**-24


def normal(keys: Int[Tensor, "B"], name: str, size: int) -> Float[Tensor, "B {size}"]:
    """Draw float32 values from N(0, 1) by the Box-Muller transform; arguments as in `bits`."""
    drawn = bits(keys, name, size)
    radius = ((drawn >> 40) & 0xFFFFFF).to(torch.float32).add(1.0) * 2.0**-24  # (0, 1]
    angle = ((drawn >> 8) & 0xFFFFFF).to(torch.float32) * (2.0**-24 * 2.0 * math.pi)
    return (-2.0 * radius.log()).sqrt() * angle.cos()


def _salt(name: str) -> int:
    """Return 64 bits of the name's hash; to torch.compile, which cannot trace it, a constant."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little", signed=True)


# What torch.compiler.assume_constant_result does, after importing the compiler, which takes as
# long as torch itself.
_salt._dynamo_marked_constant = True  # type: ignore[attr-defined]  # noqa: SLF001


def _mix(x: Int[Tensor, "*S"]) -> Int[Tensor, "*S"]:
    x = (x ^ _shift(x, 30)) * _MIX_1
    x = (x ^ _shift(x, 27)) * _MIX_2
    return x ^ _shift(x, 31)


def _shift(x: Int[Tensor, "*S"], by: int) -> Int[Tensor, "*S"]:
    """Shift right filling with zeros; `>>` on a signed tensor would copy the sign."""
    return (x >> by) & ((1 << (64 - by)) - 1)
