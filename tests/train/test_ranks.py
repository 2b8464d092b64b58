"""Several processes are one: equal results, one writer, and a name for whoever is missing."""

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from audiovq import registry
from audiovq.train.trackers.lines import read_log
from tests.figures import tell
from tests.test_recipes import TINY, fingerprint, timeless, train
from tests.test_recipes import speech as speech  # noqa: PLC0414  (a fixture)

HERE = Path(__file__).parents[2]
LONG = ("train.max_steps=1000000", "checkpoint.every=1000000", "log.every=1", "data.batch_size=4")


def command(ranks, *words, options=()):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", *options]
    return [*launcher, f"--nproc_per_node={ranks}", *words]


def environment(**more):
    kept = {k: v for k, v in os.environ.items() if k not in {"RANK", "WORLD_SIZE"}}
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE), **more}


def ended(call, seconds=120):
    return subprocess.run(
        call, env=environment(), cwd=HERE, capture_output=True, text=True, timeout=seconds,
        check=False,
    )  # fmt: skip


def run(ranks, speech, folder, *changes):
    words = ("-m", "audiovq", "train", "smoke", *TINY, f"data.manifest={speech}")
    done = ended(command(ranks, *words, f"run.dir={folder}", *changes))
    assert done.returncode == 0, done.stderr


@contextmanager
def running(speech, folder, *changes, ranks=2, options=()):
    """A training that goes on until it is stopped, past its first step."""
    words = ("-m", "audiovq", "train", "smoke", *TINY, *LONG, f"data.manifest={speech}")
    call = command(ranks, *words, f"run.dir={folder}", *changes, options=options)
    with subprocess.Popen(call, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_for(lambda: len(read_log(folder / "log.jsonl")) > 2)
            yield process
        finally:
            for pid in workers(process):
                os.kill(pid, signal.SIGKILL)
            process.kill()


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def workers(process):
    """Return the process ids of the ranks, in order; of those that live."""
    listed = ended(["ps", "-o", "pid=", "--ppid", str(process.pid)])
    return [int(p) for p in listed.stdout.split()]


@pytest.fixture(scope="module")
def every_bottleneck():
    """What tests/train/ranks.py found, by bottleneck."""
    done = ended(command(2, "-m", "tests.train.ranks"), 300)
    assert done.returncode == 0, done.stderr
    lines = map(json.loads, done.stdout.splitlines())
    return {line["name"]: line["difference"] for line in lines}


@pytest.mark.parametrize("name", registry.names("bottlenecks"))
def test_two_ranks_equal_one_with_the_joined_batch_after_every_step(every_bottleneck, name):
    """In float64; items are of unequal length, and on one rank sometimes all empty."""
    assert every_bottleneck[name] < 1e-11


@pytest.fixture(scope="module")
def two_ranks(speech, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    run(2, speech, folder, "train.max_steps=12", "data.batch_size=4", "log.every=1")
    return folder


def test_two_ranks_equal_two_micro_batches_bit_for_bit(speech, tmp_path, two_ranks):
    changes = ("train.max_steps=12", "data.batch_size=4", "log.every=1")
    train(speech, tmp_path, *changes, "train.micro_batches=2")
    assert fingerprint(tmp_path) == fingerprint(two_ranks)
    one, two = timeless(tmp_path), timeless(two_ranks)
    assert [e["step"] for e in one] == [e["step"] for e in two]
    for a, b in zip(one, two, strict=True):
        assert a == pytest.approx(b, rel=1e-5)  # the bits of sums over ranks and windows may differ


def test_ranks_stop_and_go_on_bit_for_bit(speech, tmp_path, two_ranks):
    changes = ("data.batch_size=4", "log.every=1")
    run(2, speech, tmp_path, "train.max_steps=5", *changes)
    run(2, speech, tmp_path, "train.max_steps=12", *changes)
    assert fingerprint(tmp_path) == fingerprint(two_ranks)
    assert timeless(tmp_path)[-1] == timeless(two_ranks)[-1]


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [3, 4])
def test_more_ranks_go_on_bit_for_bit(speech, tmp_path, ranks):
    for folder, stops in (("straight", (12,)), ("parts", (1, 2, 7, 12))):
        for stop in stops:
            run(ranks, speech, tmp_path / folder, f"train.max_steps={stop}", "data.batch_size=8")
    assert fingerprint(tmp_path / "straight") == fingerprint(tmp_path / "parts")


@pytest.mark.slow
def test_the_number_of_ranks_may_change_and_the_samples_do_not(speech, tmp_path, two_ranks):
    changes = ("data.batch_size=4", "log.every=1")
    run(2, speech, tmp_path, "train.max_steps=5", *changes)
    train(speech, tmp_path, "train.max_steps=12", *changes)
    one, two = (
        [e["train/loss"] for e in timeless(folder) if "train/loss" in e]
        for folder in (tmp_path, two_ranks)
    )
    assert one[:5] == two[:5]
    assert one[5:8] == pytest.approx(two[5:8], rel=1e-3)  # rounding grows from step to step


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 75)], ids=["term", "usr1"]
)
def test_a_signal_to_one_rank_stops_all_with_everything_saved(speech, tmp_path, number, code):
    with running(speech, tmp_path) as process:
        os.kill(workers(process)[1], number)
        said = process.communicate(timeout=60)[1]
    assert f"exitcode  : {code}" in said
    step = int(re.search(r"at step (\d+); all is saved", said)[1])
    assert said.count("all is saved") == 1
    saved = torch.load(tmp_path / f"checkpoints/step-{step:09d}.pt", weights_only=True)
    assert saved["step"] == step == read_log(tmp_path / "log.jsonl")[-1]["step"]


def test_a_killed_rank_ends_the_run_and_is_named(speech, tmp_path):
    with running(speech, tmp_path) as process:
        victim = workers(process)[1]
        os.kill(victim, signal.SIGKILL)
        said = process.communicate(timeout=30)[1]
        assert workers(process) == []
    assert re.search(rf"rank 0: rank 1 \(\S+, process {victim}\) died or hangs at step \d+", said)


def test_a_hanging_rank_ends_the_run_and_is_named(speech, tmp_path):
    with running(speech, tmp_path, "distributed.step_timeout=4") as process:
        victim = workers(process)[1]
        os.kill(victim, signal.SIGSTOP)
        said = process.communicate(timeout=40)[1]
        assert workers(process) == []
    assert re.search(rf"rank 1 \(\S+, process {victim}\) died or hangs at step \d+", said)


@pytest.mark.slow
def test_one_says_what_is_wrong_for_all(speech, tmp_path):
    words = ("-m", "audiovq", "train", "smoke", *TINY, f"run.dir={tmp_path}")
    for change, text in (
        (f"data.manifest={tmp_path}/none.jsonl", "cannot read the manifest"),
        (f"data.manifest={speech}", "data.batch_size=1 cannot be shared by 2 processes"),
        ("optim.lr=fast", "optim.lr: 'fast' given"),
    ):
        call = command(2, *words, "data.batch_size=1", change)
        done = ended(call)
        assert done.stderr.count("error: ") == 1, done.stderr
        assert text in done.stderr


@pytest.mark.faults
def test_five_kills_and_restarts_end_where_an_undisturbed_run_does(speech, tmp_path):
    """Each time a rank at random, each time after a new checkpoint."""
    changes = ("train.max_steps=60", "checkpoint.every=5", "log.every=5", "data.batch_size=4")
    run(2, speech, tmp_path / "straight", *changes)
    rng, folder, kills = random.Random(0), tmp_path / "killed", 0
    options = ("--max-restarts=5", "--monitor-interval=0.2")
    with running(speech, folder, *changes, "train.max_steps=60", options=options) as process:
        newest = 0
        while process.poll() is None:
            steps = [int(p.stem[5:]) for p in folder.glob("checkpoints/step-*.pt")]
            if steps and max(steps) > newest and kills < 5 and len(workers(process)) == 2:
                newest, kills = max(steps), kills + 1
                os.kill(rng.choice(workers(process)), signal.SIGKILL)
            time.sleep(0.05)
        assert process.returncode == 0, process.stderr.read()
    assert kills == 5
    tell("SIGKILL of one of two ranks", kills=kills, restarts=5, ends_with="the undisturbed hash")
    assert fingerprint(folder) == fingerprint(tmp_path / "straight")


def test_processes_started_by_srun_are_one_run(speech, tmp_path, two_ranks):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = ("-m", "audiovq", "train", "smoke", *TINY, f"data.manifest={speech}")
    call = [sys.executable, *words, f"run.dir={tmp_path / 'run'}", "train.max_steps=12"]
    call += ["data.batch_size=4", "log.every=1"]
    shared = {"SLURM_NTASKS": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    both = [
        subprocess.Popen(
            call,
            env=environment(**shared, SLURM_PROCID=str(i), SLURM_LOCALID=str(i)),
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]
    said = [p.communicate(timeout=120)[0] for p in both]
    assert [p.returncode for p in both] == [0, 0]
    assert [s.count("model: ") for s in said] == [1, 0]
    assert fingerprint(tmp_path / "run") == fingerprint(two_ranks)


@pytest.mark.faults
def test_signals_to_one_rank_at_random_instants_lose_no_step(speech, tmp_path):
    """SIGTERM and SIGUSR1 in turns, until the run is through; it ends as an undisturbed one."""
    changes = ("train.max_steps=400", "checkpoint.every=1000", "log.every=1", "data.batch_size=4")
    run(2, speech, tmp_path / "straight", *changes)
    rng, folder, stops = random.Random(1), tmp_path / "stopped", 0
    words = ("-m", "audiovq", "train", "smoke", *TINY, f"data.manifest={speech}", *changes)
    while True:
        call = command(2, *words, f"run.dir={folder}")
        done = len(read_log(folder / "log.jsonl"))
        with subprocess.Popen(
            call, env=environment(), stderr=subprocess.PIPE, text=True
        ) as process:
            wait_for(
                lambda done=done, process=process: (
                    len(read_log(folder / "log.jsonl")) > done or process.poll() is not None
                )
            )
            time.sleep(rng.random() * 0.5)
            alive = workers(process)
            if len(alive) == 2 and stops < 10:
                os.kill(rng.choice(alive), (signal.SIGTERM, signal.SIGUSR1)[stops % 2])
                stops += 1
            said = process.communicate(timeout=120)[1]
        if process.returncode == 0:
            break
        assert "all is saved" in said, said
    assert stops >= 5
    assert fingerprint(folder) == fingerprint(tmp_path / "straight")
    tell("signals to one of two ranks", signals=stops, lost_steps=0, end="bit-identical")
