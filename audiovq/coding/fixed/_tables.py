"""Functions of values as tables, the same on every machine.

Computed in Python's integers, from constants that `decimal` rounds correctly, with 128 bits after
the point, and then rounded: no machine's exponential decides a last bit.
"""

from decimal import Context, Decimal
from functools import cache, lru_cache

import numpy as np
from jaxtyping import Float64, Int64

from audiovq.coding.fixed._grid import ONE, VALUE_BITS, WEIGHT_BITS

_POINT = 128  # bits after the point
_UNIT = 1 << _POINT
_CONTEXT = Context(prec=60)
_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494")
Table = Float64[np.ndarray, "S R"]
_SATURATED = 10 * ONE  # where tanh and sigmoid have long become 0 or 1 at a step's precision


@cache
def exponential(bits: int) -> Int64[np.ndarray, "E"]:
    """Return exp(-d) in steps of 2^-bits, for d = 0, 1, ... steps of values, up to the first 0."""
    found: list[int] = []
    now, factor = _UNIT, _number(_exp(-1, ONE))
    while not found or found[-1]:
        found.append(_round(now, bits))
        now = now * factor >> _POINT
    return np.array(found, dtype=np.int64)


@cache
def tanh() -> Float64[np.ndarray, "E"]:
    """Return tanh of -10 to 10, as values."""
    return _odd([_round((_UNIT - e) * _UNIT // (_UNIT + e)) for e in _exponentials()[::2]], 0)


@cache
def sigmoid() -> Float64[np.ndarray, "E"]:
    """Return the logistic function of -10 to 10, as values."""
    half = [_round(_UNIT * _UNIT // (_UNIT + e)) for e in _exponentials()[: _SATURATED + 1]]
    return _odd(half, ONE)


def gated(
    sums: Float64[np.ndarray, "*B C2"], bits: int = WEIGHT_BITS
) -> Float64[np.ndarray, "*B C"]:
    """Return tanh of the first half times the sigmoid of the second, as values; see `at`."""
    half = sums.shape[-1] // 2
    place = at(sums, bits)
    found = tanh().take(place[..., :half], mode="clip")
    found *= sigmoid().take(place[..., half:], mode="clip")
    found *= 2.0**-VALUE_BITS
    return np.rint(found, out=found)  # type: ignore[no-any-return]


def at(sums: Float64[np.ndarray, "*S"], bits: int = WEIGHT_BITS) -> Int64[np.ndarray, "*S"]:
    """Return where the tables of tanh and sigmoid have what belongs to sums; clip what is beyond.

    Args:
        sums: of this many bits finer than values.
        bits: 0 for values themselves.
    """
    found = sums * 2.0**-bits
    np.rint(found, out=found)
    found += _SATURATED
    return found.astype(np.int64)


def gelu(x: Float64[np.ndarray, "*S"]) -> Float64[np.ndarray, "*S"]:
    """Return x times the normal distribution's function at x, of values."""
    rest = _gelu_rest()
    return np.maximum(x, 0.0) - rest.take(np.abs(x).astype(np.int64), mode="clip")  # type: ignore[no-any-return]


@lru_cache(maxsize=4)
def rotations(columns: int, size: int, base: int) -> tuple[Table, Table]:
    """Return cosine and sine, in steps of weights, of every column times base^(-2 j / size)."""
    logarithm = Decimal(base).ln(_CONTEXT)
    cosines, sines = np.empty((columns, size // 2)), np.empty((columns, size // 2))
    for j in range(size // 2):
        speed = _exp(_CONTEXT.multiply(logarithm, -2 * j), size)
        c, s = _cosine_and_sine(_number(speed))
        x, y = _UNIT, 0
        for t in range(columns):
            cosines[t, j], sines[t, j] = _round(x, WEIGHT_BITS), _round(y, WEIGHT_BITS)
            x, y = (x * c - y * s) >> _POINT, (y * c + x * s) >> _POINT
    return cosines, sines


@cache
def _exponentials() -> list[int]:
    """Return exp(-d) for d = 0 to 20, every step of values."""
    found, factor = [_UNIT], _number(_exp(-1, ONE))
    for _ in range(2 * _SATURATED):
        found.append(found[-1] * factor >> _POINT)
    return found


@cache
def _gelu_rest() -> Float64[np.ndarray, "E"]:
    """Return x (1 - Phi(x)) for x = 0, 1, ... steps: what gelu lacks of max(x, 0), either sign."""
    root = _number(_CONTEXT.divide(1, _CONTEXT.sqrt(_CONTEXT.multiply(2, _PI))))
    # exp(-x^2 / 2), and what it is multiplied by to come to the next x
    density, factor = _UNIT, _number(_exp(-1, 2 * ONE * ONE))
    change, found, x = factor * factor >> _POINT, [0], 0
    while x < ONE or found[-1]:
        x += 1
        density = density * factor >> _POINT
        factor = factor * change >> _POINT
        above = _UNIT // 2 - (root * density >> _POINT) * _series(x) // _UNIT
        found.append(_round(above * x >> VALUE_BITS))
    return np.array(found, dtype=np.float64)


def _series(x: int) -> int:
    """Return x + x^3 / 3 + x^5 / (3 * 5) + ..., of x in steps of values."""
    square, term, total, n = x * x, x * _UNIT >> VALUE_BITS, 0, 1
    while term:
        total += term
        n += 2
        term = term * square // n >> 2 * VALUE_BITS
    return total


def _cosine_and_sine(angle: int) -> tuple[int, int]:
    """Return both of an angle of at most 1, by their series."""
    parts, term, n = [0, 0], _UNIT, 0
    while term:
        parts[n % 2] += term if n % 4 < 2 else -term
        n += 1
        term = term * angle // n >> _POINT
    return parts[0], parts[1]


def _exp(over: Decimal | int, under: int) -> Decimal:
    return _CONTEXT.exp(_CONTEXT.divide(over, under))


def _number(x: Decimal) -> int:
    return int(_CONTEXT.multiply(x, Decimal(_UNIT)))


def _round(number: int, bits: int = VALUE_BITS) -> int:
    """Return a number with 128 bits after the point as whole steps of 2^-bits, the nearest."""
    return (number + (1 << (_POINT - bits - 1))) >> (_POINT - bits)


def _odd(half: list[int], turn: int) -> Float64[np.ndarray, "E"]:
    """Return a table whose values at -x and x add up to `turn`, from those at x >= 0."""
    positive = np.array(half, dtype=np.float64)
    return np.concatenate((turn - positive[:0:-1], positive))
