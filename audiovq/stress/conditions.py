"""Every condition by name.

white-10, pink-0, babble-5         noise at an SNR (dB)
clip-5, reverb-300, g711, ...      other changes of the sound (see `inputs.CHANGES`)
loss-40ms-10-bursty-repeat         packets of 40 ms, 10 % lost in bursts, the last code repeated
bits-1e-3                          codes of fixed width, one bit in a thousand flipped
file-1s-1e-3, file-1s-prior-1e-3   compressed files in blocks of 1 s, the same
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from audiovq.errors import ConfigError
from audiovq.stress import channel, conceal
from audiovq.stress.inputs import CHANGES, Change

CLEAN, CHANCE = "clean", "chance"

PACKETS = (20, 40, 80)  # ms
LOSSES = (1, 5, 10, 20)  # %
ERRORS = ("1e-4", "1e-3", "1e-2")  # of bits
BLOCKS = (("1s", 1.0, False), ("60s", 60.0, False), ("1s-prior", 1.0, True))  # of files

_PLAIN_PACKET, _PLAIN_LOSS = 40, 10  # where the other size or rate varies


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What happens to sound or codes.

    Attributes:
        name: as the user gives it.
        label: in words.
        needs_codes: whether a continuous model has nothing it could happen to.
        needs_prior: whether it takes a prior of the model's codes.
        standard: whether it is among those taken when none is named.
    """

    name: str
    label: str
    needs_codes: bool = True
    needs_prior: bool = False
    standard: bool = True


@dataclass(frozen=True, kw_only=True)
class Sound(Condition):
    """The model hears a changed recording."""

    change: Change


@dataclass(frozen=True, kw_only=True)
class Loss(Condition):
    """Packets of so many ms are lost at a rate, and concealed."""

    milliseconds: int
    rate: float
    pattern: str
    method: str


@dataclass(frozen=True, kw_only=True)
class Bits(Condition):
    """Bits of codes of fixed width are flipped."""

    rate: float


@dataclass(frozen=True, kw_only=True)
class File(Condition):
    """Bits of a compressed file are flipped; blocks they are in are refused, and silent."""

    rate: float
    seconds: float


def _losses() -> list[Condition]:
    words = {"silence": "silence", "repeat": "last code repeated", "prior-best": "most probable "
             "code of the prior", "prior-draw": "drawn from the prior"}  # fmt: skip
    return [
        Loss(
            name=f"loss-{ms}ms-{percent}-{pattern}-{method}",
            label=f"{percent} % of {ms} ms packets lost, {pattern}; {words[method]}",
            needs_prior=method in conceal.BY_PRIOR,
            standard=ms == _PLAIN_PACKET or percent == _PLAIN_LOSS,
            milliseconds=ms,
            rate=percent / 100,
            pattern=pattern,
            method=method,
        )
        for ms in PACKETS
        for percent in LOSSES
        for pattern in channel.PATTERNS
        for method in conceal.METHODS
    ]


def _files() -> list[Condition]:
    return [
        File(
            name=f"file-{name}-{rate}",
            label=f"file in blocks of {seconds:g} s, {'prior-coded' if coded else 'bit-packed'}, "
            f"bit errors {rate}",
            needs_prior=coded,
            rate=float(rate),
            seconds=seconds,
        )
        for name, seconds, coded in BLOCKS
        for rate in ERRORS
    ]


ALL: dict[str, Condition] = {
    c.name: c
    for c in (
        *(
            Sound(name=name, label=label, needs_codes=False, change=change)
            for name, (change, label) in CHANGES.items()
        ),
        *_losses(),
        *(Bits(name=f"bits-{r}", label=f"bit errors {r}", rate=float(r)) for r in ERRORS),
        *_files(),
    )
}


def choose(words: Sequence[str]) -> list[Condition]:
    """Return conditions in the order of `ALL`.

    Args:
        words: names, or their beginnings up to a hyphen (`white`, `loss-40ms`); `all`; none: the
            standard ones, which leave out packets of 20 and 80 ms but at 10 % lost.

    Raises:
        ConfigError: a word is none of them.
    """
    if not words:
        return [c for c in ALL.values() if c.standard]
    chosen: set[str] = set()
    for word in words:
        found = {n for n in ALL if word in {"all", n} or n.startswith(f"{word}-")}
        if not found:
            near = difflib.get_close_matches(word, [*beginnings(), *ALL], 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(
                f"no condition {word!r}; known: all, {', '.join(beginnings())}, and their full "
                f"names, such as {_example(near)}{hint}"
            )
        chosen |= found
    return [c for n, c in ALL.items() if n in chosen]


def beginnings() -> list[str]:
    """Return what names begin with, up to their first hyphen."""
    return list(dict.fromkeys(n.split("-")[0] for n in ALL))


def _example(near: Sequence[str]) -> str:
    begin = near[0].split("-")[0] if near else "loss"
    return ", ".join([n for n in ALL if n.startswith(begin)][:3])


def doable(
    conditions: Sequence[Condition], *, discrete: bool, prior: bool
) -> tuple[list[Condition], list[str]]:
    """Return the conditions that a model and what is beside it allow, and why the others are out.

    Args:
        conditions: chosen ones.
        discrete: whether the model has codes.
        prior: whether there is a prior of them.
    """
    without_codes = [c for c in conditions if c.needs_codes and not discrete]
    alone = [c for c in conditions if c.needs_prior and not prior and discrete]
    notes = []
    if without_codes:
        notes.append(
            f"{len(without_codes)} conditions of lost and flipped codes left out: the model is "
            f"continuous and has none"
        )
    if alone:
        notes.append(
            f"{len(alone)} conditions that take a prior of the model's codes left out: none is "
            f"given (--prior)"
        )
    out = {c.name for c in (*without_codes, *alone)}
    return [c for c in conditions if c.name not in out], notes
