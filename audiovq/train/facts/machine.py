"""Cores, memory, disk and limits of the machine, as far as this process may use them."""

import contextlib
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from audiovq.errors import ConfigError
from audiovq.train.facts import _cgroup
from audiovq.train.facts import gpus as _gpus
from audiovq.train.facts import software as _software
from audiovq.train.facts.gpus import Gpus
from audiovq.train.facts.software import Software

MIB = 1 << 20
WRITTEN = 64 * MIB  # more than a disk's own cache hides, and done in a second on most
_BLOCK = 4 * MIB
_PATIENCE = 3.0  # seconds after which a slow disk has said enough
_SHARED = Path("/dev/shm")  # noqa: S108  (where Linux keeps what processes share)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cores:
    """Processor time.

    Attributes:
        all: cores of the machine.
        allowed: those this process may run on.
        quota: cores' worth of time a control group allows; None for no limit.
        threads: what PyTorch computes with.
        asked: OMP_NUM_THREADS; None if it is not set.
        load: processes that wanted a core in the last minute, on average; None where unknown.
        bf16: whether the cores compute in bfloat16 natively.
    """

    all: int
    allowed: int
    quota: float | None = None
    threads: int
    asked: str | None = None
    load: float | None = None
    bf16: bool = False

    @property
    def usable(self) -> float:
        """Cores' worth of time this process can have."""
        return float(min(self.allowed, self.quota or self.allowed))


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Main memory and what processes share of it, in bytes; None where unknown."""

    total: int | None = None
    available: int | None = None
    shared: int | None = None
    shared_free: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Disk:
    """The file system of a folder.

    Attributes:
        folder: where.
        free: bytes that can still be written.
        speed: bytes per second written and synchronised; None if it was not tried.
        error: why nothing could be written; "" if it could.
    """

    folder: str
    free: int
    speed: float | None = None
    error: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """All there is to know.

    Attributes:
        open_files: how many files this process may hold open; None for no limit.
        compiler: the C++ compiler that torch.compile would call; "" if there is none.
    """

    software: Software
    cores: Cores
    memory: Memory
    gpus: Gpus
    disk: Disk
    open_files: int | None
    compiler: str


def look(folder: Path) -> Machine:
    """Look at the machine; writes 64 MiB into the folder, for 3 seconds at most.

    Raises:
        ConfigError: there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(f"--dir {folder} is no folder: name one that runs are to be written to")
    return Machine(
        software=_software.look(),
        cores=cores(),
        memory=memory(),
        gpus=_gpus.look(),
        disk=disk(folder.resolve(), write=WRITTEN),
        open_files=open_files(),
        compiler=compiler(),
    )


def cores() -> Cores:
    """Look at processors and threads."""
    count = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else count
    load = None
    with contextlib.suppress(OSError, AttributeError):  # Windows has none
        load = os.getloadavg()[0]
    return Cores(
        all=count,
        allowed=allowed,
        quota=_cgroup.cores(),
        threads=torch.get_num_threads(),
        asked=os.environ.get("OMP_NUM_THREADS"),
        load=load,
        bf16=_has_bf16(Path("/proc/cpuinfo")),
    )


def memory() -> Memory:
    """Look at main memory: the machine's, or less if a control group allows less."""
    facts = _meminfo(Path("/proc/meminfo"))
    total, available = facts.get("MemTotal"), facts.get("MemAvailable")
    limit = _cgroup.memory()
    if limit is not None:
        total = min(total or limit[0], limit[0])
        available = min(available or limit[0], limit[0] - limit[1])
    shared = shutil.disk_usage(_SHARED) if _SHARED.is_dir() else None
    return Memory(
        total=total,
        available=available,
        shared=None if shared is None else shared.total,
        shared_free=None if shared is None else shared.free,
    )


def disk(folder: Path, write: int = 0) -> Disk:
    """Look at a folder's file system; with `write`, time that many bytes (nothing stays)."""
    free = shutil.disk_usage(folder).free
    size = min(write, free // 4)
    speed, error = None, ""
    try:
        if write:  # even without room: whether a file can be made is known only then
            speed = _speed(folder, size)
        elif not os.access(folder, os.W_OK):
            error = "no permission to write"
    except OSError as failed:
        error = failed.strerror or str(failed)
    return Disk(folder=str(folder), free=free, speed=speed, error=error)


def open_files() -> int | None:
    """Return how many files may be open; None where there is no limit, or none to be known."""
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415  (not on Windows)

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def compiler() -> str:
    """Return the C++ compiler that torch.compile would find."""
    names = (os.environ.get("CXX", ""), "g++", "clang++", "c++", "cl")
    return next((path for n in names if n and (path := shutil.which(n))), "")


def _speed(folder: Path, size: int) -> float | None:
    """Return bytes per second, None for nothing; by blocks, so that patience can end it."""
    block, done = os.urandom(_BLOCK), 0  # no file system makes noise smaller
    with tempfile.TemporaryFile(dir=folder) as file:  # without a name: a kill leaves nothing
        start = time.perf_counter()
        while done + _BLOCK <= size and time.perf_counter() - start < _PATIENCE:
            done += file.write(block)
            file.flush()
            os.fsync(file.fileno())
        return done / max(1e-9, time.perf_counter() - start) if done else None


def _has_bf16(path: Path) -> bool:
    """Return whether the first core has instructions for bfloat16: x86's or Arm's."""
    try:
        with path.open(errors="replace") as file:
            flags = next((x for x in file if x.lower().startswith(("flags", "features"))), "")
    except OSError:
        return False
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(flags.split()))


def _meminfo(path: Path) -> dict[str, int]:
    """Return the lines of /proc/meminfo, in bytes."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines)
    return {p[0].rstrip(":"): 1024 * int(p[1]) for p in pairs if len(p) > 1 and p[1].isdecimal()}
