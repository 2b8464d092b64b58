"""Signs that discriminators and autoencoder are no match for each other."""

from statistics import fmean

from audiovq.train.checks._base import Check, Finding, History, above, judge, worst

# Mean over views of the share of verdicts on the right side; a coin has 0.5. Above WON there is
# next to nothing left that a hinge would punish; below LOST they might as well toss the coin.
WON, LOST = 0.98, 0.53
LEARNING = 200  # steps that they are given before they are judged


def match(history: History) -> Finding | None:
    """Find discriminators that are always right, or no better than a coin."""
    rows = history.rows("accuracy")
    each = [history.series(f"train/{name}") for name in rows]
    each = [s for s in each if s]
    if not each:
        return None
    first, last = each[0].span
    share = fmean(s.tail.median for s in each)
    old = last - first >= LEARNING
    severity = worst(above(share, WON, 2.0), above(LOST - share if old else -1.0, 0.0, 2.0))
    won = share > WON
    return judge(
        severity,
        (first, last),
        f"{100 * share:.1f} % of verdicts are right, mean of {len(each) // 2} views and both sides",
        good="discriminators and autoencoder are a match for each other",
        bad="discriminators win" if won else "discriminators learn nothing",
        advice="lower discriminator_optim.lr, raise adversarial.every, or narrow the discriminators"
        if won
        else "raise discriminator_optim.lr, or widen the discriminators",
    )


CHECKS: tuple[Check, ...] = (match,)
