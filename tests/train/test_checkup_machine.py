"""Every fault of a machine is named from facts that show it, and a healthy machine shows none."""

import json
import os
import subprocess
import sys
import warnings
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from audiovq.errors import ConfigError
from audiovq.train import checkup
from audiovq.train.checks._base import Severity
from audiovq.train.checks.machine import CHECKS
from audiovq.train.checks.software import number
from audiovq.train.facts import _cgroup, gpus, machine, software
from audiovq.train.facts.gpus import Gpu, Gpus
from audiovq.train.facts.machine import Cores, Disk, Machine, Memory
from audiovq.train.facts.software import Software

GIB, MIB = 1 << 30, 1 << 20
PACKAGES = {"torch": "2.11.0+cu128", "torchaudio": "2.11.0", "numpy": "2.4.6"}
CARD = Gpu(name="A100", memory=80 * GIB, free=79 * GIB, capability=(8, 0), bf16=True)
HEALTHY = Machine(
    software=Software(
        python="3.12.1",
        pythons=("3.11", "3.14"),
        versions=PACKAGES,
        least={"torch": "2.10", "torchaudio": "2.9", "numpy": "2.0"},
        refused="",
        broken="",
        libsndfile="1.2.2",
        mp3=True,
    ),
    cores=Cores(all=8, allowed=8, threads=8, load=0.2),
    memory=Memory(total=32 * GIB, available=30 * GIB, shared=16 * GIB, shared_free=16 * GIB),
    gpus=Gpus(
        build="CUDA 12.8", driver="570.86.10", usable=True, devices=(CARD,), nccl=True,
        kernels=("sm_80",),
    ),
    disk=Disk(folder="runs", free=100 * GIB, speed=200.0 * MIB),
    open_files=65536,
    compiler="/usr/bin/g++",
)  # fmt: skip
OLD_CARD = replace(CARD, name="K80", capability=(3, 7), bf16=False, error="no kernel image")


def seen(facts):
    """Severity by title of everything that is not well."""
    found = checkup.judged(CHECKS, facts)
    assert found == sorted(found, key=lambda f: -f.severity.rank)
    for f in found:
        assert f.title
        assert f.figure
        assert f.steps is None
        assert bool(f.advice) == (f.severity != "ok")
    return {f.title: f.severity.value for f in found if f.severity is not Severity.ok}


def planted(part, **changes):
    return replace(HEALTHY, **{part: replace(getattr(HEALTHY, part), **changes)})


def gpu(**changes):
    return planted("gpus", **({"usable": False, "devices": ()} | changes))


CASES = [
    (planted("software", python="3.10.4"), "audiovq is not made for this Python", "problem"),
    (planted("software", python="3.14.0"), "audiovq is not made for this Python", "problem"),
    (
        planted("software", versions=PACKAGES | {"torch": "2.9.1", "torchaudio": "2.9.1"}),
        "packages are too old",
        "problem",
    ),
    (planted("software", versions=PACKAGES | {"numpy": None}), "packages are missing", "problem"),
    (
        planted("software", versions=PACKAGES | {"torchaudio": "2.10.0"}),
        "torch and torchaudio clash",
        "warning",
    ),
    (
        planted("software", versions=PACKAGES | {"torch": "2.10.0"}),
        "torch and torchaudio clash",
        "warning",
    ),
    (planted("software", broken="undefined symbol"), "torchaudio cannot be imported", "problem"),
    (planted("software", mp3=False), "mp3 files cannot be read", "warning"),
    (planted("cores", threads=64), "PyTorch uses more threads than there are cores", "problem"),
    (planted("cores", threads=12), "PyTorch uses more threads than there are cores", "warning"),
    (planted("cores", allowed=4), "PyTorch uses more threads than there are cores", "warning"),
    (planted("cores", quota=1.5), "PyTorch uses more threads than there are cores", "problem"),
    (planted("cores", asked="many"), "OMP_NUM_THREADS is no number", "warning"),
    (
        replace(gpu(build="", driver=""), cores=replace(HEALTHY.cores, threads=1)),
        "PyTorch leaves cores idle",
        "warning",
    ),
    (planted("cores", load=90.0), "the cores are busy with other work", "warning"),
    (planted("memory", available=GIB), "memory is short", "warning"),
    (planted("memory", available=GIB // 4), "memory is short", "problem"),
    (
        planted("memory", shared=64 * MIB, shared_free=64 * MIB),
        "shared memory is short: loading workers may die with a bus error",
        "problem",
    ),
    (planted("disk", speed=1.0 * MIB), "the disk is slow", "problem"),
    (planted("disk", speed=9.0 * MIB), "the disk is slow", "warning"),
    (planted("disk", free=GIB), "the disk is nearly full", "warning"),
    (planted("disk", free=MIB, speed=None), "the disk is nearly full", "problem"),
    (planted("disk", error="Read-only"), "the folder cannot be written to", "problem"),
    (
        replace(HEALTHY, open_files=256),
        "few files may be open: loading workers may fail with `too many open files`",
        "warning",
    ),
    (replace(HEALTHY, compiler=""), "there is no C++ compiler", "warning"),
    (gpu(driver="450.1.2"), "the NVIDIA driver is too old for this PyTorch", "problem"),
    (gpu(), "PyTorch cannot use the GPU", "problem"),
    (gpu(visible=""), "CUDA_VISIBLE_DEVICES= hides every GPU", "warning"),
    (gpu(driver=""), "PyTorch is built for CUDA 12.8, and there is no GPU", "warning"),
    (
        gpu(build=""),
        "PyTorch cannot use this machine's GPU: it is built for the CPU alone",
        "warning",
    ),
    (planted("gpus", devices=(OLD_CARD,)), "a GPU does not compute", "problem"),
    (planted("gpus", devices=(replace(CARD, free=GIB),)), "somebody else uses a GPU", "problem"),
    (planted("gpus", devices=(CARD, CARD), nccl=False), "PyTorch has no NCCL", "warning"),
    (planted("gpus", gloo=False), "PyTorch has no gloo", "warning"),
    (
        planted("gpus", devices=(CARD, replace(CARD, name="T4"))),
        "the GPUs are of several kinds",
        "warning",
    ),
]


@pytest.mark.parametrize(("facts", "title", "severity"), CASES)
def test_a_planted_fault_of_the_machine_is_named(facts, title, severity):
    assert seen(facts).get(title) == severity


@pytest.mark.parametrize(
    "facts",
    [
        HEALTHY,
        gpu(build="", driver=""),
        planted("gpus", devices=(CARD, CARD)),
        planted("gpus", driver="450.1.2"),  # a compatibility package makes it do
        planted("cores", threads=1, asked="1"),  # a GPU computes, not the cores
        planted("cores", load=None),
        planted("cores", asked="8,2"),
        planted("software", versions=PACKAGES | {"torch": "2.13.0+cpu"}),
        planted("software", refused="OSError: libc10_cuda.so"),
        planted("software", least={}, pythons=("", "")),
        replace(HEALTHY, memory=Memory(), open_files=None),
    ],
)
def test_a_healthy_machine_shows_nothing(facts):
    assert seen(facts) == {}


def test_figures_and_advice_are_in_the_text():
    found = checkup.judged(CHECKS, planted("disk", speed=1.0 * MIB, free=8 * GIB))
    text = checkup.Checkup(subject="this machine", findings=found).text()
    assert text.splitlines()[0] == "this machine: not ready: the disk is slow"
    assert "problem  the disk is slow\n         runs: 8.0 GiB free, 1 MiB/s written" in text
    assert "try: put run.dir on another disk" in text
    assert max(map(len, text.splitlines())) <= 100
    clash = checkup.judged(CHECKS, CASES[4][0])[0]
    assert "https://download.pytorch.org/whl/cu128" in clash.advice
    assert "'torchaudio==2.11.*'" in clash.advice


def test_versions_are_read_as_numbers():
    assert number("2.13.0+cpu") == (2, 13, 0)
    assert number("2.9") == (2, 9, 0)
    assert number("2.10.0a0+git12") == (2, 10, 0)
    assert number("2.9") < number("2.10rc1")
    assert number("0.5.0.post1") == (0, 5, 0)


# --------------------------------------------------------------------- facts


def test_this_machine_is_looked_at_and_nothing_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "WRITTEN", 8 * MIB)
    found = checkup.machine(tmp_path)
    assert list(tmp_path.iterdir()) == []
    content = json.loads(found.to_json())
    assert content["verdict"] == found.verdict
    assert content["subject"] == "this machine"
    assert content["facts"]["software"]["versions"]["torch"]
    assert content["facts"]["disk"]["speed"] > 0
    assert content["findings"][0].keys() == {"severity", "title", "figure", "steps", "advice"}
    assert {f.title for f in found.findings} >= {"audiovq is made for this Python"}


def test_a_folder_that_is_none_or_cannot_be_written(tmp_path, monkeypatch):
    for path in (tmp_path / "none", Path(__file__)):
        with pytest.raises(ConfigError, match="is no folder"):
            checkup.machine(path)

    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(machine.tempfile, "TemporaryFile", refuse)
    assert machine.disk(tmp_path, write=MIB).error == "Permission denied"
    assert machine.disk(tmp_path).error == ""
    monkeypatch.undo()
    full = SimpleNamespace(free=3)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: full)
    assert machine.disk(tmp_path, write=64 * MIB) == Disk(folder=str(tmp_path), free=3)


def test_what_audiovq_asks_for_is_read_from_the_checkout_or_the_package(tmp_path, monkeypatch):
    pythons, least = software.requirements()
    assert pythons == ("3.11", "3.14")
    assert least["torch"] == "2.10"
    assert "wandb" not in least
    monkeypatch.setattr(software.audiovq, "__file__", str(tmp_path / "audiovq" / "__init__.py"))
    about = {"Requires-Python": ["<3.14,>=3.11"], "Requires-Dist": ["torch>=2.10",
             'wandb>=1; extra == "train"', "Foo[bar] >=1.5,<2"]}  # fmt: skip

    class Installed:
        get_all = staticmethod(about.get)

    monkeypatch.setattr(software.metadata, "metadata", lambda _: Installed())
    assert software.requirements() == (("3.11", "3.14"), {"torch": "2.10", "foo": "1.5"})

    def missing(_):
        raise software.metadata.PackageNotFoundError

    monkeypatch.setattr(software.metadata, "metadata", missing)
    assert software.requirements() == (("", ""), {})


def test_a_gpu_that_computes_nothing_is_looked_at_all_the_same(monkeypatch):
    about = SimpleNamespace(name="K80", total_memory=12 * GIB, major=3, minor=7)
    patch = {
        "is_available": lambda: warnings.warn("old driver", stacklevel=1) or True,
        "device_count": lambda: 1,
        "get_device_properties": lambda _: about,
        "mem_get_info": lambda: (_ for _ in ()).throw(RuntimeError("no kernel image\nmore")),
        "get_arch_list": lambda: ["sm_75"],
    }
    for name, value in patch.items():
        monkeypatch.setattr(gpus.torch.cuda, name, value)
    monkeypatch.setattr(gpus.torch.cuda, "device", lambda _: nullcontext())
    found = gpus.look()
    assert found.usable
    assert found.said == "old driver"
    assert found.devices == (
        Gpu(name="K80", memory=12 * GIB, free=0, capability=(3, 7), bf16=False,
            error="no kernel image"),
    )  # fmt: skip
    finding = next(f for f in checkup.judged(CHECKS, replace(HEALTHY, gpus=found)))
    assert finding.title == "a GPU does not compute"
    assert "PyTorch has code for sm_75" in finding.figure


BROKEN = "raise RuntimeError('undefined symbol: torch_library_impl')"


def test_a_torchaudio_that_cannot_be_imported_is_a_finding(tmp_path):
    (tmp_path / "torchaudio.py").write_text(BROKEN)
    code = "from audiovq.train.facts import software; print(software.look().broken)"
    root = str(Path(software.audiovq.__file__).parent.parent)
    path = os.pathsep.join([str(tmp_path), root, os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "undefined symbol: torch_library_impl"


def test_driver_and_memory_are_read_as_the_kernel_writes_them(tmp_path):
    path = tmp_path / "version"
    assert gpus.driver(path) == ""
    path.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19\n")
    assert gpus.driver(path) == "535.104.05"
    path.write_text("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  560.35.03  R\n")
    assert gpus.driver(path) == "560.35.03"
    path.write_text("MemTotal:  100 kB\nMemAvailable:   50 kB\nHugePages_Total:       0\nodd\n")
    assert machine._meminfo(path) == {
        "MemTotal": 102400, "MemAvailable": 51200, "HugePages_Total": 0
    }  # fmt: skip
    assert machine._meminfo(tmp_path / "none") == {}


def test_limits_of_control_groups_version_2(tmp_path):
    own, job = tmp_path / "own", tmp_path / "cg" / "slurm" / "job"
    job.mkdir(parents=True)
    own.write_text("0::/slurm/job\n")
    assert _cgroup.cores(tmp_path / "cg", own) is None
    (job / "cpu.max").write_text("max 100000\n")
    (job.parent / "cpu.max").write_text("150000 100000\n")
    assert _cgroup.cores(tmp_path / "cg", own) == 1.5
    (job / "memory.max").write_text("max\n")
    (tmp_path / "cg" / "memory.max").write_text("1000\n")
    (tmp_path / "cg" / "memory.current").write_text("300\n")
    assert _cgroup.memory(tmp_path / "cg", own) == (1000, 300)
    assert _cgroup.cores(tmp_path / "none", tmp_path / "none") is None


def test_limits_of_control_groups_version_1(tmp_path):
    own, cpu = tmp_path / "own", tmp_path / "cg" / "cpu,cpuacct" / "docker" / "x"
    memory = tmp_path / "cg" / "memory"
    cpu.mkdir(parents=True)
    memory.mkdir()
    own.write_text("4:cpu,cpuacct:/docker/x\n3:memory:/docker/x\n2:pids:/docker/x\n")
    (cpu / "cpu.cfs_quota_us").write_text("-1\n")
    (cpu.parent / "cpu.cfs_quota_us").write_text("200000\n")
    (cpu.parent / "cpu.cfs_period_us").write_text("100000\n")
    assert _cgroup.cores(tmp_path / "cg", own) == 2.0
    (memory / "memory.limit_in_bytes").write_text("9223372036854771712\n")  # no limit
    (memory / "memory.usage_in_bytes").write_text("5\n")
    assert _cgroup.memory(tmp_path / "cg", own) is None
    (memory / "memory.limit_in_bytes").write_text("4096\n")
    assert _cgroup.memory(tmp_path / "cg", own) == (4096, 5)
