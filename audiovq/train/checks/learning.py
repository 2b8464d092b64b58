"""Signs that training itself goes wrong: it stopped, diverges, stands still or learns by heart."""

import math
from dataclasses import dataclass
from typing import Any

from audiovq.train.checks._base import (
    Check,
    Finding,
    History,
    Series,
    Severity,
    above,
    judge,
)

# Reconstruction loss over that of its first window. Healthy runs here end at 0.4 to 0.6, and are
# at 0.7 after 300 steps.
NOT_LEARNT, DIVERGED = 0.98, 1.5
ROSE = 1.5  # over its best window; a codebook that starts up costs healthy runs 15 %
JUMPED = 5.0  # one window over the one before
# The gradient of a healthy autoencoder here grew sixfold over its first 1,000 steps.
GRADIENT_GREW, GRADIENT_JUMPED = 30.0, 100.0
STANDS_STILL = 0.03  # share of the validation mel that three validations must have taken away
# Share by which the validation mel may lie above its best; in a healthy run it once rose by 1.4 %.
OVERFITS, OVERFITTED = 0.05, 0.2
# Likewise of a prior's bits per code: of all held-out codes, so that it hardly moves by itself.
# Healthy runs on an hour of speech end within 0.2 % of their best.
OVERFITS_CODES, OVERFITTED_CODES = 0.02, 0.1
LITTLE_SPEECH = 20.0  # seconds of validation below which it goes up and down by itself
SLOWER = "lower optim.lr, lengthen optim.warmup_steps, or lower optim.clip_norm"


def stopped(history: History) -> Finding | None:
    """Find the NaN that ended the run, or one that came into the log."""
    for entry in history.entries:
        bad = [k for k, v in entry.items() if isinstance(v, float) and not math.isfinite(v)]
        if "error" in entry or bad:
            return _stop(entry, bad)
    return None


def _stop(entry: Any, bad: list[str]) -> Finding:
    return Finding(
        severity=Severity.problem,
        title="training stopped" if "error" in entry else "a figure is not finite",
        figure=str(entry.get("error", ", ".join(bad))),
        steps=(int(entry["step"]), int(entry["step"])),
        advice=f"{SLOWER}; the same command goes on from the last checkpoint, other settings "
        f"need another run.dir",
    )


def divergence(history: History) -> Finding | None:
    """Find a loss that grows, jumps, or is not below its start."""
    loss = _reconstruction(history)
    if len(loss) < 2:
        return None
    start, now, best = loss.values[0], loss.tail.median, min(loss.smooth.values)
    long = len(loss) >= 10 and history.step >= 2 * history.number("optim.warmup_steps", 0.0)
    signs = [
        (now > DIVERGED * start, Severity.problem, "training diverges"),
        (
            long and now > NOT_LEARNT * start,
            history.lenient(Severity.problem),
            "the loss is not below its start",
        ),
        (now > ROSE * best, Severity.warning, "the loss has risen again"),
        (loss.leap > JUMPED, Severity.warning, "the loss jumps"),
    ]
    severity, bad = next(((s, t) for seen, s, t in signs if seen), (Severity.ok, ""))
    figure = f"{_words(history).loss} {start:.3g} at first, {best:.3g} at best, {now:.3g} now"
    return judge(severity, loss.span, figure, good="the loss falls", bad=bad, advice=SLOWER)


def gradient(history: History) -> Finding | None:
    """Find a gradient that grows without end or jumps."""
    norm = history.series("train/gradient_norm")
    if len(norm) < 4:  # a quarter is a window
        return None
    grew = norm.tail.median > GRADIENT_GREW * norm.head.median
    jumped = norm.leap > GRADIENT_JUMPED
    return judge(
        Severity.warning if grew or jumped else Severity.ok,
        norm.span,
        f"gradient norm {norm.head.median:.3g} at first, {max(norm.values):.3g} at most, "
        f"{norm.tail.median:.3g} now",
        good="the gradient is calm",
        bad="the gradient explodes" if grew else "the gradient jumps",
        advice=SLOWER,
    )


def standstill(history: History) -> Finding | None:
    """Find a model that gets no better on held-out speech."""
    words, mel = _words(history), _validation(history)
    if len(mel) < 3 or history.young or _seconds(history) < LITTLE_SPEECH:
        return None
    first, best = mel.values[0], min(mel.values[1:])
    gain = 1.0 - best / first if first > 0 else 0.0
    return judge(
        above(-gain, -STANDS_STILL, -1e-9),
        mel.span,
        f"validation {words.validation} {first:.3g} at first, {best:.3g} at best since",
        good="it learns",
        bad="it learns nothing that holds for other speakers",
        advice=words.learn,
    )


def overfitting(history: History) -> Finding | None:
    """Find a model that gets worse on held-out speech while it gets better on its own."""
    words, mel, loss = _words(history), _validation(history), _reconstruction(history)
    if len(mel) < 3 or _seconds(history) < LITTLE_SPEECH:
        return None
    best = min(mel.values)
    at = mel.steps[mel.values.index(best)]
    before = loss.until(at)
    learns = loss.tail.median < before.tail.median  # false if there is nothing: NaN
    some, much = words.overfits
    severity = above(mel.values[-1], (1 + some) * best, (1 + much) * best)
    return judge(
        severity if learns else Severity.ok,
        (at, mel.steps[-1]),
        f"validation {words.validation} {best:.3g} at its best, {mel.values[-1]:.3g} now",
        good="it does not overfit",
        bad="it overfits",
        advice=words.overfit,
    )


@dataclass(frozen=True, kw_only=True)
class _Words:
    """What the figures of a recipe are called, and what helps.

    Attributes:
        loss: the training loss.
        validation: the figure that held-out speech is judged by.
        overfits: share by which that may lie above its best.
        learn: what to try where nothing is learnt.
        overfit: what to try where too much is.
    """

    loss: str = "reconstruction loss"
    validation: str = "mel"
    overfits: tuple[float, float] = (OVERFITS, OVERFITTED)
    learn: str = (
        "try optim.lr some times larger and smaller; look at usage; a larger model, more speech"
    )
    overfit: str = (
        "take the model as it was then; use more speech, more augmentation, a smaller model or "
        "more optim.weight_decay"
    )


_OF_PRIORS = _Words(
    loss="loss (nats per code)",
    validation="bits per code",
    overfits=(OVERFITS_CODES, OVERFITTED_CODES),
    learn="try optim.lr some times larger and smaller, less dropout, a larger prior, more speech",
    overfit="use best/, the prior as it was then; more speech, more prior.dropout, a smaller prior "
    "or more optim.weight_decay",
)


def is_prior(history: History) -> bool:
    """Whether the run trains a prior."""
    return str(history.setting("recipe")) == "train_prior"


def bits_per_code(history: History) -> Series:
    """Return what held-out codes cost: by averaged weights, where best/ is chosen by those."""
    metric = history.setting("best.metric") or ""
    found = history.series(metric) if str(metric).endswith("/bits_per_code") else None
    return found or history.series("validation/bits_per_code")


def _words(history: History) -> _Words:
    return _OF_PRIORS if is_prior(history) else _Words()


def _validation(history: History) -> Series:
    return bits_per_code(history) if is_prior(history) else history.series("validation/mel")


def _seconds(history: History) -> float:
    """Return how much speech a validation hears at most (s)."""
    each = history.number("train.validation_seconds", math.inf)
    return each * history.number("train.validation_utterances", 1.0)


def _reconstruction(history: History) -> Series:
    """Return the training loss less the bottleneck's part, whose weight may change."""
    loss, own = history.series("train/loss"), history.series("train/bottleneck")
    parts = dict(zip(own.steps, own.values, strict=True))
    values = zip(loss.steps, loss.values, strict=True)
    return Series(loss.steps, tuple(v - parts.get(s, 0.0) for s, v in values))


CHECKS: tuple[Check, ...] = (stopped, divergence, gradient, standstill, overfitting)
