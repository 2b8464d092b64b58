"""Signs that GPUs are not there, not usable, or not free."""

import re
from collections.abc import Callable

from audiovq.train.checks._base import Finding, Severity, below, judge
from audiovq.train.facts.gpus import Gpu, Gpus

# Oldest NVIDIA driver for a PyTorch built with CUDA of that major version.
# https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html, table 1
OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}
# Share of a GPU's memory that is free. A desktop takes a tenth; a second training most.
SHARED, OCCUPIED = 0.7, 0.2
GIB = 1 << 30


def driver(gpus: Gpus) -> Finding | None:
    """Find an NVIDIA driver older than PyTorch's CUDA asks for."""
    built = re.match(r"CUDA (\d+)", gpus.build)
    least = OLDEST_DRIVER.get(int(built[1])) if built else None
    if not gpus.driver or least is None:
        return None
    own = int(gpus.driver.split(".", maxsplit=1)[0])
    old = own < least and not gpus.usable  # a compatibility package makes older ones do
    return judge(
        Severity.problem if old else Severity.ok,
        None,
        f"driver {gpus.driver}; PyTorch's {gpus.build} needs {least} or newer",
        good="the NVIDIA driver is new enough",
        bad="the NVIDIA driver is too old for this PyTorch",
        advice="install a newer driver, or a PyTorch built for an older CUDA "
        "(https://pytorch.org/get-started/previous-versions)",
    )


def usable(gpus: Gpus) -> Finding | None:
    """Find GPUs that PyTorch cannot use, or none at all."""
    if gpus.usable:
        return None
    if not gpus.build and not gpus.driver:
        figure = "none, and a PyTorch for the CPU alone"
        return Finding(
            severity=Severity.ok, title="no GPU: training runs on the CPU", figure=figure
        )
    severity, bad, advice = _unusable(gpus)
    figure = f"PyTorch for {gpus.build or 'the CPU alone'}, " + (
        f"NVIDIA driver {gpus.driver}" if gpus.driver else "no NVIDIA driver"
    )
    said = f"; PyTorch says: {gpus.said[:200]}" if gpus.said else ""
    return judge(severity, None, figure + said, good="", bad=bad, advice=advice)


def _unusable(gpus: Gpus) -> tuple[Severity, str, str]:
    """Return severity, title and advice."""
    if gpus.visible is not None and gpus.visible.strip() in {"", "-1"}:
        return (
            Severity.warning,
            f"CUDA_VISIBLE_DEVICES={gpus.visible} hides every GPU",
            "unset CUDA_VISIBLE_DEVICES, or name a GPU in it: CUDA_VISIBLE_DEVICES=0",
        )
    if not gpus.build:
        return (
            Severity.warning,
            "PyTorch cannot use this machine's GPU: it is built for the CPU alone",
            "install a PyTorch for CUDA: https://pytorch.org/get-started/locally",
        )
    if gpus.driver:
        return (
            Severity.problem,
            "PyTorch cannot use the GPU",
            "in a container, add --gpus all; in a batch system, ask for a GPU; see nvidia-smi",
        )
    return (
        Severity.warning,
        f"PyTorch is built for {gpus.build}, and there is no GPU",
        "training runs on the CPU; if a GPU should be here, its driver is missing",
    )


def each(gpus: Gpus) -> Finding | None:
    """Find GPUs on which nothing can be computed."""
    if not gpus.devices:
        return None
    failed = [f"GPU {i}: {g.error}" for i, g in enumerate(gpus.devices) if g.error]
    figure = "; ".join(f"GPU {i}: {_describe(g)}" for i, g in enumerate(gpus.devices))
    kernels = f"; PyTorch has code for {', '.join(gpus.kernels)}" if failed else ""
    return judge(
        Severity.problem if failed else Severity.ok,
        None,
        "; ".join([figure, *failed]) + kernels,
        good="GPUs compute",
        bad="a GPU does not compute",
        advice="where PyTorch has no code for the GPU's compute capability, install a PyTorch that "
        "has; otherwise look who uses it (nvidia-smi), or choose another: train.device=cuda:1",
    )


def free(gpus: Gpus) -> Finding | None:
    """Find GPUs whose memory somebody else holds."""
    working = [(g.free / g.memory, i) for i, g in enumerate(gpus.devices) if g.memory > 0]
    working = [w for w in working if not gpus.devices[w[1]].error]
    if not working:
        return None
    share, index = min(working)
    gpu = gpus.devices[index]
    return judge(
        below(share, SHARED, OCCUPIED),
        None,
        f"GPU {index}: {gpu.free / GIB:.1f} of {gpu.memory / GIB:.1f} GiB free",
        good="the GPUs' memory is free",
        bad="somebody else uses a GPU",
        advice="look who (nvidia-smi); take another (train.device=cuda:1), or a smaller "
        "data.batch_size",
    )


def together(gpus: Gpus) -> Finding | None:
    """Find what would keep processes or GPUs from working together."""
    several = len(gpus.devices) > 1
    names = sorted({g.name for g in gpus.devices})
    missing = "NCCL" if several and not gpus.nccl else "" if gpus.gloo else "gloo"
    bad = f"PyTorch has no {missing}" if missing else "the GPUs are of several kinds"
    joins = f"NCCL {_there(gpus.nccl)}, gloo {_there(gpus.gloo)}"
    figure = f"{len(gpus.devices)} GPUs ({', '.join(names)}), {joins}" if several else joins
    return judge(
        Severity.warning if missing or len(names) > 1 else Severity.ok,
        None,
        figure,
        good="processes can work together",
        bad=bad,
        advice="one process and one GPU train without; install a PyTorch of pytorch.org to have it"
        if missing
        else "the slowest sets the pace: choose equal ones by CUDA_VISIBLE_DEVICES",
    )


def _there(yes: bool) -> str:
    return "there" if yes else "missing"


def _describe(gpu: Gpu) -> str:
    major, minor = gpu.capability
    bf16 = "bf16" if gpu.bf16 else "no bf16 (keep train.precision=float32)"
    return f"{gpu.name}, {gpu.memory / GIB:.0f} GiB, compute capability {major}.{minor}, {bf16}"


CHECKS: tuple[Callable[[Gpus], Finding | None], ...] = (driver, usable, each, free, together)
