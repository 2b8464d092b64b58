"""Signs that a config asks for what its corpus cannot give."""

from collections.abc import Callable

from audiovq.train.checks._base import Finding, Severity, above, below, judge
from audiovq.train.facts.plan import Plan

# Frames per code that k-means starts from. Configs here have 19; with fewer than one, codes are
# copies of each other, and with few they are single frames.
FEW_FRAMES, NO_FRAMES = 4.0, 1.0
OFTEN, TOO_OFTEN = 100.0, 1000.0  # times that a run hears the same speech
FEW_IN_SEGMENT = 4.0  # frames; less gives the decoder next to no neighbourhood


def model(plan: Plan) -> Finding | None:
    """Find a model that cannot be built."""
    if not plan.error:
        return None
    return Finding(
        severity=Severity.problem,
        title="the model cannot be built from this config and corpus",
        figure=plan.error,
        advice="change the setting that is named",
    )


def noise(plan: Plan) -> Finding | None:
    """Find recordings of noise that are not there."""
    if not plan.noise:
        return None
    return Finding(
        severity=Severity.problem,
        title="the noise to train with is not there",
        figure=plan.noise,
        advice="correct data.corruption.noise_folder, or leave it out",
    )


def segment(plan: Plan) -> Finding | None:
    """Find segments of hardly a frame."""
    if plan.size is None:
        return None
    seconds, rate = plan.config.data.segment_seconds, plan.config.model.sample_rate
    frames = seconds * rate / plan.size.hop_length
    return judge(
        below(frames, FEW_IN_SEGMENT, 1.0),
        None,
        f"a segment of {seconds:g} s is {frames:.1f} frames of {plan.size.hop_length} samples",
        good="segments are long enough for the model",
        bad="segments are too short for the model",
        advice=f"set data.segment_seconds={16 * plan.size.hop_length / rate:.2g} or more",
    )


def batch(plan: Plan) -> Finding | None:
    """Find batches larger than the corpus, and runs that hear the same speech too often."""
    size, steps = plan.config.data.batch_size, plan.config.train.max_steps
    if not plan.segments:
        return None
    larger, times = size > plan.segments, steps * size / plan.segments
    return judge(
        Severity.warning if larger else above(times, OFTEN, TOO_OFTEN),
        None,
        f"data.batch_size={size}, {plan.segments} segments in {len(plan.training)} training "
        f"records; train.max_steps={steps} hear each {times:.3g} times",
        good="batches fit the corpus",
        bad="a batch is larger than the corpus"
        if larger
        else "the same speech is heard very often: the model may learn it by heart",
        advice=f"lower data.batch_size below {plan.segments}, or use more speech"
        if larger
        else "lower train.max_steps, or use more speech",
    )


def clustering(plan: Plan) -> Finding | None:
    """Find codebooks that are clustered from too few frames."""
    size, config = plan.size, plan.config
    if size is None or not size.codebook_sizes or not _clusters(plan):
        return None
    codes = size.codebook_sizes[0] if size.layout[0] == "slow" else max(size.codebook_sizes)
    batches, rate = config.train.initialise_batches, config.model.sample_rate
    rows = batches * config.data.batch_size
    heard = rows * config.data.segment_seconds * (1.0 - plan.padding)
    frames = round(min(heard, plan.seconds) * rate / size.hop_length)
    return judge(
        below(frames / codes, FEW_FRAMES, NO_FRAMES),
        None,
        f"{frames} frames for {codes} codes, {frames / codes:.1f} each, from "
        f"train.initialise_batches={batches}",
        good="there are frames to cluster the first codebook from",
        bad="there are few frames to cluster the first codebook from",
        advice="raise train.initialise_batches, lower model.bottleneck.codebook_size, or use more "
        "speech",
    )


def _clusters(plan: Plan) -> bool:
    """Return whether the bottleneck starts from k-means."""
    return hasattr(plan.config.model.bottleneck, "kmeans_iterations")


CHECKS: tuple[Callable[[Plan], Finding | None], ...] = (model, noise, segment, batch, clustering)
