"""Signs that a prior is not worth its cost: no better than counting single codes."""

from audiovq.train.checks._base import Check, Finding, History, above, judge
from audiovq.train.checks.learning import bits_per_code, is_prior

# Share of the unigram's bits. On an hour of speech at 50 Hz priors here need 61 to 65 %, and 81 %
# after 200 steps.
DEAR, TOO_DEAR = 0.95, 0.995


def baseline(history: History) -> Finding | None:
    """Find a prior that costs as much as codes drawn one by one."""
    bits, unigram = bits_per_code(history), history.series("validation/unigram_bits_per_code")
    if not is_prior(history) or not bits or not unigram or unigram.values[-1] <= 0:
        return None
    now, alone = min(bits.values), unigram.values[-1]
    try_first = "train longer; try optim.lr some times larger and smaller; "
    return judge(
        history.lenient(above(now / alone, DEAR, TOO_DEAR)),
        None if history.counted else bits.span,
        f"{now:.3g} bits per code at best, {alone:.3g} by the frequency of single codes "
        f"({1 - now / alone:.0%} saved)",
        good="it predicts held-out codes",
        bad="it predicts held-out codes hardly better than their frequencies do",
        advice=("" if history.counted else try_first)
        + "look whether the codes follow from each other at all (audiovq evaluate-units)",
    )


CHECKS: tuple[Check, ...] = (baseline,)
