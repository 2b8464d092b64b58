"""The SLURM example against stand-ins for srun and scontrol."""

import os
import signal
import subprocess
import time

import pytest

from audiovq import share

SCRIPT = share.folder("recipes") / "train_slurm.sh"


def stand_in(folder, name, body):
    path = folder / name
    path.write_text(f'#!/bin/bash\necho "{name} $*" >> {folder}/called\n{body}\n')
    path.chmod(0o755)


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    stand_in(tmp_path, "scontrol", "[ $1 = show ] && echo node7 && echo node8; exit 0")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for key, value in (("JOB_ID", "4242"), ("JOB_NODELIST", "node[7-8]"), ("CPUS_PER_TASK", "3")):
        monkeypatch.setenv(f"SLURM_{key}", value)
    return tmp_path


def requeues(folder):
    return (folder / "called").read_text().splitlines().count("scontrol requeue 4242")


@pytest.mark.parametrize(("code", "times"), [(0, 0), (75, 1), (143, 1), (2, 0), (1, 0)])
def test_it_is_queued_again_exactly_when_it_was_stopped_in_good_order(slurm, code, times):
    stand_in(slurm, "srun", f'echo "$MASTER_ADDR:$MASTER_PORT $OMP_NUM_THREADS"; exit {code}')
    done = subprocess.run(
        ["bash", str(SCRIPT), "vq_ema", "run.dir=a b"], capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    assert requeues(slurm) == times
    assert done.stdout.startswith("node7:24242 3\n")
    called = (slurm / "called").read_text()
    assert "srun --kill-on-bad-exit=1 python -m audiovq train vq_ema run.dir=a b" in called


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_signal_to_the_script_waits_for_its_processes(slurm, number):
    stand_in(slurm, "srun", "sleep 1; exit 75")
    with subprocess.Popen(["bash", str(SCRIPT), "vq_ema"]) as process:
        while not (slurm / "called").exists() or "srun" not in (slurm / "called").read_text():
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait(20) == 75
    assert requeues(slurm) == 1
