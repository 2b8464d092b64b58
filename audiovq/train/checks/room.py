"""Signs that a run does not fit the machine: device, memory, disk, cores."""

from collections.abc import Callable

from audiovq.train.checks._base import Finding, Severity, above, judge
from audiovq.train.facts.plan import Plan

MIB, GIB = 2.0**20, 2.0**30
# Gradients of activations live beside them for a while, and torch itself takes some memory.
# vq_ema in batches of 12 and 24: 1.2 and 1.9 GiB by this, 1.1 and 1.8 measured on a CPU.
_STEP, _TORCH = 1.5, 0.4 * GIB
PREFETCH = 4  # batches that each worker holds ready, as in `data/loader.py`


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


def _room(plan: Plan) -> float | None:
    """Return the free memory of the device (bytes); None where unknown."""
    if not plan.on_gpu:
        return None if plan.memory.available is None else float(plan.memory.available)
    index = plan.config.train.device.partition(":")[2]
    chosen = int(index) if index.isdecimal() else 0
    devices = plan.gpus.devices
    return float(devices[chosen].free) if chosen < len(devices) else None


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


CHECKS: tuple[Callable[[Plan], Finding | None], ...] = (
    device,
    precision,
    memory,
    shared,
    workers,
    folder,
    disk,
)
