"""Which GPUs there are, and whether this PyTorch can use them."""

import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch

from audiovq import distributed

_DRIVER = Path("/proc/driver/nvidia/version")  # there in containers too, whether or not a GPU is


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """One GPU.

    Attributes:
        name: as its maker calls it.
        memory: all of it (bytes).
        free: what nobody uses (bytes).
        capability: compute capability.
        bf16: whether it computes in bfloat16 natively.
        error: why a first small computation failed; "" if it did not.
    """

    name: str
    memory: int
    free: int
    capability: tuple[int, int]
    bf16: bool
    error: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpus:
    """All GPUs, and what stands between them and PyTorch.

    Attributes:
        build: what PyTorch is built for: "CUDA 12.8", "ROCm 6.3"; "" for the CPU alone.
        driver: version of the NVIDIA driver; "" if there is none.
        usable: whether PyTorch finds a GPU.
        said: what PyTorch said while it looked.
        visible: CUDA_VISIBLE_DEVICES; None if it is not set.
        kernels: what PyTorch has compiled code for, as `sm_90`.
        devices: the GPUs.
        nccl: whether PyTorch can join GPUs by NCCL.
        gloo: whether PyTorch can join processes by gloo.
    """

    build: str = ""
    driver: str = ""
    usable: bool = False
    said: str = ""
    visible: str | None = None
    kernels: tuple[str, ...] = ()
    devices: tuple[Gpu, ...] = ()
    nccl: bool = False
    gloo: bool = True


def look() -> Gpus:
    """Look for GPUs; takes a second or two where there are some."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        usable = torch.cuda.is_available()
        devices = tuple(map(_gpu, range(torch.cuda.device_count()))) if usable else ()
    backends = distributed.backends()
    return Gpus(
        build=_build(),
        driver=driver(_DRIVER),
        usable=usable,
        said=" ".join(" ".join(str(w.message) for w in said).split()),
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
        kernels=tuple(torch.cuda.get_arch_list()) if usable else (),
        devices=devices,
        nccl="nccl" in backends,
        gloo="gloo" in backends,
    )


def driver(path: Path) -> str:
    """Return the NVIDIA driver's version, as the kernel module tells it."""
    try:
        found = re.search(r"\b\d{3,}\.\d+(\.\d+)?\b", path.read_text(errors="replace"))
    except OSError:
        return ""
    return found[0] if found else ""


def _build() -> str:
    if torch.version.cuda:
        return f"CUDA {torch.version.cuda}"
    hip = getattr(torch.version, "hip", None)
    return f"ROCm {hip}" if hip else ""


def _gpu(index: int) -> Gpu:
    name, memory, capability = f"GPU {index}", 0, (0, 0)
    try:
        about = torch.cuda.get_device_properties(index)
        name, memory, capability = about.name, about.total_memory, (about.major, about.minor)
        with torch.cuda.device(index):
            free, _ = torch.cuda.mem_get_info()
            torch.ones(2, device="cuda").add(1).sum().item()
            bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    except (RuntimeError, AssertionError) as error:
        first = str(error).split("\n", maxsplit=1)[0]
        return Gpu(name=name, memory=memory, free=0, capability=capability, bf16=False, error=first)
    return Gpu(name=name, memory=memory, free=free, capability=capability, bf16=bf16)
