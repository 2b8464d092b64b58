"""Signs that the machine is slow, full, busy or shut in."""

import math
from collections.abc import Callable

from audiovq.train.checks import gpu, software
from audiovq.train.checks._base import Finding, Severity, above, below, judge, worst
from audiovq.train.facts.machine import Machine

MIB, GIB = 2.0**20, 2.0**30
# A model of this toolkit and its optimizer are 20 to 120 MiB, and so is each checkpoint.
SLOW, VERY_SLOW = 20 * MIB, 2 * MIB  # bytes per second written: some seconds, and a minute
LITTLE_DISK, NO_DISK = 5 * GIB, 0.5 * GIB
LITTLE_MEMORY, NO_MEMORY = 2 * GIB, 0.5 * GIB  # torch alone takes a quarter of the smaller one
# What a container gets by default is 64 MiB; workers pass batches through it.
LITTLE_SHARED, NO_SHARED = 256 * MIB, 65 * MIB
# Workers hand over batches as open files; 1024 is what Linux gives, 256 what macOS does.
FEW_FILES, TOO_FEW_FILES = 1024.0, 256.0
# PyTorch threads per usable core: somewhat more cost little, many more stand in each other's way.
MORE_THREADS, TOO_MANY_THREADS = 1.0, 4.0
BUSY = 0.8  # processes per core that already run


def threads(machine: Machine) -> Finding | None:
    """Find more threads than cores, and cores that nobody uses."""
    cores = machine.cores
    usable, wanted = cores.usable, max(1, int(cores.usable))
    severity = above(cores.threads / max(1.0, usable), MORE_THREADS, TOO_MANY_THREADS)
    idle = cores.threads == 1 and usable >= 4 and not machine.gpus.usable
    strange = cores.asked is not None and not cores.asked.replace(",", "").isdecimal()
    bad = "PyTorch uses more threads than there are cores"
    if severity is Severity.ok:
        bad = "PyTorch leaves cores idle" if idle else "OMP_NUM_THREADS is no number"
    limit = "" if cores.quota is None else f", {cores.quota:g} by the control group's limit"
    return judge(
        worst(severity, Severity.warning if idle or strange else Severity.ok),
        None,
        f"{cores.threads} threads; {cores.allowed} of {cores.all} cores may be used{limit}; "
        + (
            "OMP_NUM_THREADS is not set"
            if cores.asked is None
            else f"OMP_NUM_THREADS={cores.asked}"
        ),
        good="threads fit the cores",
        bad=bad,
        advice=f"export OMP_NUM_THREADS={wanted}",
    )


def load(machine: Machine) -> Finding | None:
    """Find cores that others keep busy."""
    cores = machine.cores
    if cores.load is None:
        return None
    return judge(
        above(cores.load / cores.all, BUSY, math.inf),  # slow, but it ends
        None,
        f"{cores.load:.1f} processes wanted one of {cores.all} cores, over the last minute",
        good="the cores are free",
        bad="the cores are busy with other work",
        advice="wait for it, end it, or expect steps to take that much longer",
    )


def memory(machine: Machine) -> Finding | None:
    """Find too little main memory."""
    total, left = machine.memory.total, machine.memory.available
    if total is None or left is None:
        return None
    return judge(
        below(float(left), LITTLE_MEMORY, NO_MEMORY),
        None,
        f"{left / GIB:.1f} of {total / GIB:.1f} GiB available",
        good="there is memory",
        bad="memory is short",
        advice="end what else runs, ask the container or batch system for more, or lower "
        "data.batch_size and data.workers",
    )


def shared(machine: Machine) -> Finding | None:
    """Find too little shared memory for the processes that load audio."""
    total, left = machine.memory.shared, machine.memory.shared_free
    if total is None or left is None:
        return None
    return judge(
        below(float(left), LITTLE_SHARED, NO_SHARED),
        None,
        f"{left / MIB:.0f} of {total / MIB:.0f} MiB of /dev/shm free",
        good="workers have shared memory",
        bad="shared memory is short: loading workers may die with a bus error",
        advice="start the container with --shm-size=2g or --ipc=host, or set data.workers=0",
    )


def disk(machine: Machine) -> Finding | None:
    """Find a disk that is slow, full, or not to be written."""
    disk = machine.disk
    space = below(float(disk.free), LITTLE_DISK, NO_DISK)
    speed = Severity.ok if disk.speed is None else below(disk.speed, SLOW, VERY_SLOW)
    figures = [f"{disk.free / GIB:.1f} GiB free"]
    if disk.speed is not None:
        figures.append(f"{disk.speed / MIB:.0f} MiB/s written")
    severity, bad = worst(space, speed), "the disk is nearly full"
    if speed.rank > space.rank:
        bad = "the disk is slow"
    if disk.error:
        figures, severity, bad = [disk.error], Severity.problem, "the folder cannot be written to"
    return judge(
        severity,
        None,
        f"{disk.folder}: {', '.join(figures)}",
        good="the disk has room and is fast enough",
        bad=bad,
        advice="put run.dir on another disk (--dir tries one), raise checkpoint.every, or lower "
        "checkpoint.keep",
    )


def open_files(machine: Machine) -> Finding | None:
    """Find a low limit of open files."""
    most = machine.open_files
    if most is None:
        return None
    return judge(
        below(float(most), FEW_FILES, TOO_FEW_FILES),
        None,
        f"{most} files may be open",
        good="enough files may be open",
        bad="few files may be open: loading workers may fail with `too many open files`",
        advice="ulimit -n 65536, or data.workers=0",
    )


def compiler(machine: Machine) -> Finding | None:
    """Find no C++ compiler for torch.compile."""
    return judge(
        Severity.ok if machine.compiler else Severity.warning,
        None,
        machine.compiler or "none of $CXX, g++, clang++ was found",
        good="there is a C++ compiler",
        bad="there is no C++ compiler",
        advice="torch.compile on a CPU and building pesq need one (apt-get install g++); all else "
        "works without",
    )


Check = Callable[[Machine], Finding | None]
CHECKS: tuple[Check, ...] = (
    *(lambda m, check=check: check(m.software) for check in software.CHECKS),
    threads,
    load,
    memory,
    *(lambda m, check=check: check(m.gpus) for check in gpu.CHECKS),
    disk,
    shared,
    open_files,
    compiler,
)
