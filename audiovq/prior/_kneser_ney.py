"""Interpolated Kneser-Ney: what is left of each count, and what goes to shorter contexts.

    p_m(w | h) = (c(h w) - D(c(h w))) / c(h .) + rest(h) p_(m-1)(w | h without its farthest symbol)

The shortest is one over the codebook size. Contexts form a trie: a context of m symbols is the
place of its nearest m - 1 symbols and one symbol more, so keys are exact, not hashed.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Table:
    """The n-grams of one order.

    Attributes:
        contexts: of each context, sorted: the place of the context one symbol shorter, times the
            number of symbols, plus the farthest symbol; 0 for the empty context.
        entries: of each n-gram, sorted: the place of its context times the codebook size, plus the
            code.
        kept: of each n-gram, its share of its context after the discount.
        rest: of each context, the share of the next shorter one; kept and rest add up to 1.
    """

    contexts: Int[Tensor, "C"]
    entries: Int[Tensor, "E"]
    kept: Float[Tensor, "E"]
    rest: Float[Tensor, "C"]


def count(
    history: Int[Tensor, "P M"], codes: Int[Tensor, "P"], size: int, symbols: int
) -> list[Table]:
    """Return the tables of orders 1 to M + 1.

    Args:
        history: what precedes each code, nearest first, in [0, symbols).
        codes: in [0, size).
        size: codebook size.
        symbols: how many a context may hold, the one of no code included.
    """
    place, contexts = torch.zeros_like(codes), [torch.zeros(1, dtype=torch.int64)]
    for symbol in history.unbind(1):
        found, place = torch.unique(place * symbols + symbol, return_inverse=True)
        contexts.append(found)
    entries, counts = torch.unique(place * size + codes, return_counts=True)
    tables: list[Table] = []
    for known in reversed(contexts):
        owner = entries // size
        tables.append(_table(known, entries, owner, counts))
        # A shorter context counts in how many longer ones a code was seen, not how often.
        shorter = (known // symbols)[owner] * size + entries % size
        entries, counts = torch.unique(shorter, return_counts=True)
    return tables[::-1]


def _table(
    contexts: Int[Tensor, "C"],
    entries: Int[Tensor, "E"],
    owner: Int[Tensor, "E"],
    counts: Int[Tensor, "E"],
) -> Table:
    discount = discounts(counts)[counts.clamp_max(3)]
    totals = torch.zeros(len(contexts), dtype=torch.float64)
    totals.index_add_(0, owner, counts.double())
    taken = torch.zeros_like(totals).index_add_(0, owner, discount)
    return Table(contexts, entries, (counts - discount) / totals[owner], taken / totals)


def discounts(counts: Int[Tensor, "E"]) -> Float[Tensor, "4"]:
    """Return what to take from a count of 0, 1, 2, and 3 or more.

    Source: Chen & Goodman 1998, "An empirical study of smoothing techniques for language
    modeling", equation 26. Where too few n-grams are that rare, one discount for all, by equation
    24, or 1/2; all are above 0, so that every code stays possible.
    """
    one, two, three, four = (int((counts == c).sum()) for c in (1, 2, 3, 4))
    if not one:
        return torch.tensor([0.0, 0.5, 0.5, 0.5], dtype=torch.float64)
    share = one / (one + 2 * two)
    found = [share] * 3
    if two and three and four:
        found = [share, 2 - 3 * share * three / two, 3 - 4 * share * four / three]
    if min(found) <= 0:
        found = [share] * 3
    return torch.tensor([0.0, *found], dtype=torch.float64)


def find(
    keys: Int[Tensor, "E"], wanted: Int[Tensor, "P"]
) -> tuple[Int[Tensor, "P"], Bool[Tensor, "P"]]:
    """Return where each wanted key is among sorted ones, and whether it is there."""
    if not len(keys):
        return torch.zeros_like(wanted), torch.zeros_like(wanted, dtype=torch.bool)
    place = torch.searchsorted(keys, wanted).clamp_max_(len(keys) - 1)
    return place, keys[place] == wanted


def read(contexts: Tensor, entries: Tensor, kept: Tensor, rest: Tensor) -> Table | None:
    """Return tensors, from a file, as a table; None if their types or lengths are not those."""
    parts, kinds = (contexts, entries, kept, rest), (torch.int64, torch.float64)
    if [x.dtype for x in parts] != [kinds[0], kinds[0], kinds[1], kinds[1]]:
        return None
    if any(x.ndim != 1 for x in parts):
        return None
    if len(contexts) != len(rest) or len(entries) != len(kept):
        return None
    return Table(contexts, entries, kept, rest)


def adds_up(table: Table, size: int, symbols: int, shorter: int) -> bool:
    """Whether a table's keys are in order and its probabilities add up to one.

    Args:
        table: from a file.
        size: codebook size.
        symbols: how many a context may hold.
        shorter: number of contexts one symbol shorter.
    """
    limits = ((table.contexts, shorter * symbols), (table.entries, len(table.contexts) * size))
    if not all(_is_sorted(keys, limit) for keys, limit in limits):
        return False
    total = table.rest.clone().index_add_(0, table.entries // size, table.kept)
    possible = bool((table.kept >= 0).all()) and bool((table.rest > 0).all())
    return possible and bool(((total - 1).abs() < 1e-6).all())


def _is_sorted(keys: Int[Tensor, "E"], limit: int) -> bool:
    inside = bool(((keys >= 0) & (keys < limit)).all())
    return inside and bool((keys[1:] > keys[:-1]).all())
