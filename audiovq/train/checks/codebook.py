"""Signs of a codebook that is not used, not stable, or not where the frames are."""

import math

from audiovq.train.checks._base import (
    Check,
    Finding,
    History,
    Series,
    Severity,
    above,
    below,
    judge,
    worst,
)

# Share of the codes used, of those that so few frames can reach at all. The published no-op restart
# ends with 1 code of 256 (reference/quantizers.md, 4a); healthy runs here end with 97 to 100 %.
COLLAPSED, FEW_USED, RECOVERED = 0.1, 0.3, 0.5
# Perplexity over codes: healthy runs here 0.8 after training, 0.1 in their worst hundred steps;
# silence and unbalanced speech alone do not bring it below a few percent.
FEW_SHARED, FEWER_SHARED = 0.05, 0.02
MANY_DEAD, MOST_DEAD = 0.3, 0.6  # share of codes under the revival threshold
# Share of the codebook moved within the time that an unused code takes to die. Moved again as soon
# as they are dead, this share of the codes never finds frames of its own.
CHURNING, CHURNED = 0.3, 0.6
# At 1 a codebook is as far from its frames as they are from each other (`describe_fit`).
DRIFTING, DRIFTED = 0.8, 1.0
WORSE_THAN_MEAN = 1.0  # relative error above which one constant vector would do better
HARDLY_BETTER = 0.9
# The commitment of a healthy vq_ema run here grew threefold over 3,000 steps.
COMMITMENT_GREW, COMMITMENT_EXPLODED = 10.0, 100.0


def collapse(history: History) -> Finding | None:
    """Find codes that are not used, now or in between."""
    found = [_collapse(history, row) for row in _books(history, "usage")]
    return max((f for f in found if f), key=lambda f: f.severity.rank, default=None)


def _collapse(history: History, row: str) -> Finding | None:
    usage = _reachable(history, row)
    if not usage:
        return None
    shared = _shared(history, row)
    severity = below(usage.tail.median, FEW_USED, COLLAPSED)
    if shared is not None:
        severity = worst(severity, below(shared, FEW_SHARED, FEWER_SHARED))
    collapsed = severity is Severity.problem
    severity = history.lenient(severity)
    gone = [s for s, v in zip(usage.steps, usage.values, strict=True) if v < COLLAPSED]
    recovery = _recovery(usage, gone, row) if gone and severity is Severity.ok else None
    return recovery or judge(
        severity,
        usage.tail.span,
        _used(usage, shared, _size(history, row), gone),
        good=f"{_name(row)} is in use",
        bad=f"{_name(row)} {'has collapsed' if collapsed else 'uses few of its codes'}",
        advice="lower optim.lr or lengthen its warm-up; revive sooner (smaller revive_every, more "
        "candidates); fewer codes, or fewer dimensions (model.bottleneck.factorised)",
    )


def _used(usage: Series, shared: float | None, size: int, gone: list[int]) -> str:
    """Return the figures of usage in words."""
    text = f"{usage.tail.median:.1%} of {f'{size} codes' if size else 'the codes'} in use"
    if shared is not None:
        text += f", perplexity {shared:.1%} of the most it could be"
    return text + (f"; under {COLLAPSED:.0%} first at step {gone[0]}" if gone else "")


def _recovery(usage: Series, gone: list[int], row: str) -> Finding | None:
    """Return the finding that a collapse is over."""
    after = zip(usage.steps, usage.values, strict=True)
    back = next(((s, v) for s, v in after if s > gone[-1] and v > RECOVERED), None)
    if back is None:
        return None
    return Finding(
        severity=Severity.ok,
        title=f"{_name(row)} collapsed and recovered",
        figure=f"collapsed at step {gone[0]}, recovered to {back[1]:.1%} of the codes by step "
        f"{back[0]}",
        steps=(gone[0], back[0]),
    )


def dead(history: History) -> Finding | None:
    """Find codes that hardly any frame is given to."""
    late = history.figure("dead_codes").tail
    if not late:
        return None
    return judge(
        history.lenient(above(late.median, MANY_DEAD, MOST_DEAD)),
        late.span,
        f"{late.median:.1%} of the codes under the revival threshold",
        good="few codes are dead",
        bad="many codes are dead",
        advice="revive sooner (smaller revive_every, more candidates), or use fewer codes",
    )


def churn(history: History) -> Finding | None:
    """Find revival that never comes to rest."""
    found = [_churn(history, row) for row in _books(history, "revived_codes")]
    return max((f for f in found if f), key=lambda f: f.severity.rank, default=None)


def _churn(history: History, row: str) -> Finding | None:
    series, size = history.series(f"train/{row}").increments, _size(history, row)
    lifetime = _lifetime(history)
    # The codes that no frame wanted from the start die together after one lifetime; those that
    # found frames then are known after two.
    late = series.since(round(max(2 * lifetime, history.step - lifetime)))
    if not late or not size:
        return None
    each = sum(late.values) / max(1, sum(series.widths[-len(late) :]))
    share = each * lifetime / size
    return judge(
        history.lenient(above(share, CHURNING, CHURNED)),
        late.span,
        f"{each:.3g} of {size} codes revived per step, {share:.1%} in the {lifetime:.0f} steps "
        f"in which an unused code dies",
        good="revival has come to rest",
        bad=f"revival of {_name(row)} never stops",
        advice="the frames have fewer clusters than there are codes: fewer codes, larger batches, "
        "or model.bottleneck.decay nearer to 1",
    )


def drift(history: History) -> Finding | None:
    """Find a codebook that the encoder has run away from."""
    late = history.figure("drift").tail
    if not late:
        return None
    return judge(
        history.lenient(above(late.median, DRIFTING, DRIFTED)),
        late.span,
        f"codes are {late.median:.3g} times the frames' spread away from their frames",
        good="the codebook follows the encoder",
        bad="the codebook does not follow the encoder",
        advice="lower optim.lr; a smaller model.bottleneck.decay lets codes follow sooner, a "
        "larger commitment_weight holds the encoder",
    )


def error(history: History) -> Finding | None:
    """Find codes that say less about a frame than the mean of all frames would."""
    late = history.figure("relative_error").tail
    if not late:
        return None
    return judge(
        history.lenient(above(late.median, HARDLY_BETTER, WORSE_THAN_MEAN)),
        late.span,
        f"quantization error {late.median:.3g} times the frames' variance",
        good="codes tell frames apart",
        bad="codes say next to nothing about the frames",
        advice="look at usage and drift first; lower optim.lr, raise commitment_weight",
    )


def commitment(history: History) -> Finding | None:
    """Find an encoder whose output runs away from any codebook."""
    loss = history.series("train/bottleneck")
    if not history.rows("usage") or len(loss) < 4 or loss.head.median <= 0:
        return None  # a KL or a sparsity may well grow; an entropy is negative
    factor = loss.tail.median / loss.head.median
    return judge(
        above(factor, COMMITMENT_GREW, COMMITMENT_EXPLODED),
        loss.span,
        f"bottleneck loss {loss.head.median:.3g} at first, {loss.tail.median:.3g} now",
        good="the commitment loss is stable",
        bad="the commitment loss explodes",
        advice="raise commitment_weight, lower optim.lr, or look codes up on the unit sphere "
        "(model.bottleneck.factorised)",
    )


def _books(history: History, name: str) -> list[str]:
    """Return the figure's names by codebook; the joint one only where it is the only one."""
    rows = history.rows(name)
    each = [row for row in rows if row.rpartition("/")[2].isdigit()]
    return each or rows


def _name(row: str) -> str:
    which = row.partition("/")[2]
    return f"codebook {which}" if which.isdigit() else f"the {which} codebook".replace("  ", " ")


def _size(history: History, row: str) -> int:
    """Return the number of codes behind a figure; 0 where the config does not tell."""
    own = "slow_codebook_size" if row.endswith("/slow") else "codebook_size"
    size = history.number(f"model.bottleneck.{own}", 0.0)
    levels, bits = (history.setting(f"model.bottleneck.{k}") for k in ("levels", "bits"))
    if not size and isinstance(levels, list | tuple):
        size = math.prod(levels)
    if not size and isinstance(bits, int):
        size = 1 << bits
    return int(size)


def _frames(history: History, row: str) -> float:
    """Return the frames of a training step; infinite where the config does not tell."""
    strides = history.setting("model.encoder.strides")
    hop = math.prod(strides) if isinstance(strides, list | tuple) else 0.0
    if row.endswith("/slow"):
        hop *= history.number("model.bottleneck.ratio", 1.0)
    seconds = history.number("data.segment_seconds", 0.0) * history.number("data.batch_size", 0.0)
    frames = seconds * history.number("model.sample_rate", 0.0)
    return frames / hop if hop and frames else math.inf


def _reachable(history: History, row: str) -> Series:
    """Return usage over the share of codes that the window's frames could reach, drawn evenly."""
    series, size = history.series(f"train/{row}"), _size(history, row)
    each = _frames(history, row)
    if not size or math.isinf(each):
        return series
    reach = [-math.expm1(-max(1, w) * each / size) for w in series.widths]
    return Series(
        series.steps, tuple(min(1.0, v / r) for v, r in zip(series.values, reach, strict=True))
    )


def _shared(history: History, row: str) -> float | None:
    """Return the tail's perplexity over the number of codes, or of frames if they are fewer."""
    series = history.series("train/" + row.replace("usage", "perplexity"))
    size = _size(history, row)
    if not series or not size:
        return None
    each, tail = _frames(history, row), series.tail
    widths = series.widths[-len(tail) :]
    shares = [v / min(size, max(1.0, w * each)) for v, w in zip(tail.values, widths, strict=True)]
    return Series(tail.steps, tuple(shares)).median


def _lifetime(history: History) -> float:
    """Return the steps in which the count of an unused code falls to the revival threshold."""
    decay = history.number("model.bottleneck.decay", 0.99)
    threshold = history.number("model.bottleneck.revive_threshold", 0.1)
    if not (0.0 < decay < 1.0 and 0.0 < threshold < 1.0):
        return 1.0
    return max(1.0, math.log(threshold) / math.log(decay))


CHECKS: tuple[Check, ...] = (collapse, dead, churn, drift, error, commitment)
