"""Signs of a variational autoencoder whose latents say nothing, or not as much as they should."""

from audiovq.train.checks._base import (
    Check,
    Finding,
    History,
    Severity,
    above,
    below,
    judge,
    worst,
)

# A unit is active by Burda et al. 2015 (arXiv:1509.00519), section 5.2. A healthy VAE may well do
# with a few of its dimensions; the less than 1 in 20 that is left here is not a choice.
FEW_ACTIVE, NONE_ACTIVE = 0.1, 0.05
NO_INFORMATION = 0.1  # nats per frame: a seventh of a bit, of which nothing can be reconstructed
OFF_TARGET, FAR_OFF_TARGET = 0.25, 1.0  # relative distance of the KL from the one asked for


def posterior(history: History) -> Finding | None:
    """Find posteriors that are the prior, whatever the encoder hears."""
    units, kl = history.figure("active_units"), history.figure("kl")
    if not units and not kl:
        return None
    severity, figures = Severity.ok, []
    if units:
        severity = below(units.tail.median, FEW_ACTIVE, NONE_ACTIVE)
        figures.append(f"{units.tail.median:.1%} of the dimensions active")
    if kl:
        if kl.tail.median < NO_INFORMATION:
            severity = Severity.problem
        figures.append(f"KL {kl.tail.median:.3g} nats per frame")
    return judge(
        history.lenient(severity),
        (kl or units).tail.span,
        ", ".join(figures),
        good="the latents carry information",
        bad="the posterior has collapsed",
        advice="lower model.bottleneck.beta, set free_bits, or give vae_constrained a target_kl",
    )


def constraint(history: History) -> Finding | None:
    """Find a constrained VAE that is not held at its KL."""
    target = history.number("model.bottleneck.target_kl", 0.0)
    multiplier, kl = history.figure("multiplier"), history.figure("kl")
    if target <= 0 or not multiplier or not kl:
        return None
    off = kl.tail.median / target - 1.0
    slack = max(multiplier.tail.values) <= 0.0
    severity = above(abs(off), OFF_TARGET, FAR_OFF_TARGET)
    bad, advice = _explain(off, slack=slack)
    return judge(
        history.lenient(worst(severity, Severity.warning if slack else Severity.ok)),
        kl.tail.span,
        f"KL {kl.tail.median:.3g} nats per frame, {target:g} asked for; multiplier "
        f"{multiplier.tail.values[-1]:.3g}",
        good="the KL is where it was asked for",
        bad=bad,
        advice=advice,
    )


def _explain(off: float, *, slack: bool) -> tuple[str, str]:
    """Return title and advice."""
    if slack:
        return "the multiplier is 0: the constraint does not bind", (
            "the model does not use the KL it may: lower model.bottleneck.target_kl, or train on"
        )
    if off > 0:
        return "the KL is above its target", (
            "train on, or raise model.bottleneck.ascent_rate or initial_beta"
        )
    return "the KL is below its target", (
        "train on, lower model.bottleneck.initial_beta, or raise damping if it swings"
    )


CHECKS: tuple[Check, ...] = (posterior, constraint)
