"""Signs that a config asks for what its data cannot give, or its machine cannot hold."""

from collections.abc import Callable

from audiovq.train.checks._base import Finding, Severity, above, below, judge
from audiovq.train.facts.plan import Plan

MIB, GIB = 2.0**20, 2.0**30
# Frames per code that k-means starts from. Configs here have 19; with fewer than one, codes are
# copies of each other, and with few they are single frames.
FEW_FRAMES, NO_FRAMES = 4.0, 1.0
OFTEN, TOO_OFTEN = 100.0, 1000.0  # times that a run hears the same speech
FEW_IN_SEGMENT = 4.0  # frames; less gives the decoder next to no neighbourhood
# Gradients of activations live beside them for a while, and torch itself takes some memory.
# vq_ema in batches of 12 and 24: 1.2 and 1.9 GiB by this, 1.1 and 1.8 measured on a CPU.
_STEP, _TORCH = 1.5, 0.4 * GIB
PREFETCH = 4  # batches that each worker holds ready, as in `data/loader.py`


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


def folder(plan: Plan) -> Finding | None:
    """Find a run folder that holds another run."""
    if not plan.folder:
        return None
    return Finding(
        severity=Severity.problem,
        title="run.dir cannot be used for this run",
        figure=plan.folder,
        advice="give another run.dir",
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


def disk(plan: Plan) -> Finding | None:
    """Find a disk without room for the checkpoints."""
    if plan.size is None:
        return None
    each = plan.size.weights + 2.0 * plan.size.trained  # AdamW keeps two moments
    keep = plan.config.checkpoint.keep
    need = (keep + 1) * each + 2.0 * plan.size.weights  # a new one is whole before an old one goes
    severity = above(need / max(1.0, float(plan.disk.free)), 0.5, 1.0)
    figure = (
        f"checkpoints of {each / MIB:.0f} MiB, {keep} kept: {need / MIB:.0f} MiB; "
        f"{plan.disk.free / GIB:.1f} GiB free in {plan.disk.folder}"
    )
    return judge(
        Severity.problem if plan.disk.error else severity,
        None,
        figure + (f": {plan.disk.error}" if plan.disk.error else ""),
        good="the disk has room for checkpoints",
        bad="run.dir cannot be written to"
        if plan.disk.error
        else "the disk has no room for checkpoints",
        advice="put run.dir on another disk, or lower checkpoint.keep",
    )


def memory(plan: Plan) -> Finding | None:
    """Find a training step that does not fit into memory."""
    room = _room(plan)
    if plan.size is None or room is None:
        return None
    # weights, gradients and two moments; a checkpoint is put together in main memory besides
    need = plan.size.weights + 3.0 * plan.size.trained + _STEP * plan.size.activations + _TORCH
    where = "the GPU" if plan.on_gpu else "main memory"
    return judge(
        above(need / max(1.0, room), 0.8, 1.2),  # a rough guess must not cry wolf
        None,
        f"a step takes about {need / GIB:.1f} GiB (half or twice that), of {room / GIB:.1f} GiB "
        f"free in {where}; model {plan.size.weights / MIB:.0f} MiB, kept for the gradient "
        f"{plan.size.activations / MIB:.0f} MiB",
        good="a training step fits into memory",
        bad="a training step may not fit into memory",
        advice="lower data.batch_size, data.segment_seconds, train.monte_carlo_samples or the "
        "channels of encoder and decoder",
    )


def shared(plan: Plan) -> Finding | None:
    """Find workers with more batches in hand than shared memory holds."""
    workers, left = plan.config.data.workers, plan.memory.shared_free
    if left is None or not workers:
        return None
    need = float(workers * PREFETCH * plan.batch_bytes)
    return judge(
        above(need / max(1.0, float(left)), 0.5, 1.0),
        None,
        f"data.workers={workers} hold {need / MIB:.0f} MiB of batches ready; {left / MIB:.0f} MiB "
        "of /dev/shm free",
        good="workers have shared memory",
        bad="shared memory is short: loading workers may die with a bus error",
        advice="start the container with --shm-size=2g or --ipc=host, or set data.workers=0",
    )


def workers(plan: Plan) -> Finding | None:
    """Find more loading workers than cores."""
    count, usable = plan.config.data.workers, plan.cores.usable
    idle = count == 0 and plan.on_gpu
    return judge(
        Severity.warning if idle or count > max(1.0, usable) else Severity.ok,
        None,
        f"data.workers={count}, {usable:g} usable cores",
        good="workers fit the cores",
        bad="no worker loads audio: the GPU waits" if idle else "there are more workers than cores",
        advice=f"set data.workers={max(1, min(4, int(usable) - 1))}",
    )


def device(plan: Plan) -> Finding | None:
    """Find a device that is not there, or is left idle."""
    name = plan.config.train.device
    idle = not plan.device and not plan.on_gpu and plan.gpus.usable
    return judge(
        Severity.problem if plan.device else Severity.warning if idle else Severity.ok,
        None,
        plan.device or f"train.device={name}: {'a GPU' if plan.on_gpu else 'the CPU'}",
        good="the device can be used",
        bad="a GPU is left idle" if idle else "the device cannot be used",
        advice="set train.device=auto; `audiovq doctor` without an argument says what the machine "
        "has",
    )


def precision(plan: Plan) -> Finding | None:
    """Find bf16 where nothing computes in it."""
    if plan.config.train.precision != "bf16" or plan.device:
        return None
    able = all(g.bf16 for g in plan.gpus.devices) if plan.on_gpu else plan.cores.bf16
    where = "the GPU" if plan.on_gpu else "the CPU"
    return judge(
        Severity.ok if able else Severity.warning,
        None,
        f"train.precision=bf16; {where} has {'' if able else 'no '}units for it",
        good="bf16 is fast here",
        bad="bf16 is slow here",
        advice="set train.precision=float32",
    )


def _clusters(plan: Plan) -> bool:
    """Return whether the bottleneck starts from k-means."""
    return hasattr(plan.config.model.bottleneck, "kmeans_iterations")


def _room(plan: Plan) -> float | None:
    """Return the free memory of the device (bytes); None where unknown."""
    if not plan.on_gpu:
        return None if plan.memory.available is None else float(plan.memory.available)
    index = plan.config.train.device.partition(":")[2]
    chosen = int(index) if index.isdecimal() else 0
    devices = plan.gpus.devices
    return float(devices[chosen].free) if chosen < len(devices) else None


CHECKS: tuple[Callable[[Plan], Finding | None], ...] = (
    model,
    folder,
    noise,
    device,
    precision,
    segment,
    batch,
    clustering,
    memory,
    disk,
    shared,
    workers,
)
