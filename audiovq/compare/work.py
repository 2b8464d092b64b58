"""Training and evaluating the runs of a comparison, each in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

import audiovq
from audiovq import config as configs
from audiovq.compare.plan import Run
from audiovq.data.manifest import Manifest
from audiovq.errors import AudioVQError
from audiovq.files import atomic_write
from audiovq.train.signals import Interrupted, Stop
from audiovq.train.trackers.lines import read_log

_POLL_SECONDS = 0.5


@dataclass
class _Job:
    """A command, and how far it is.

    Attributes:
        run: what it works on.
        command: arguments of `audiovq`.
        output: where what it prints goes.
        progress: returns the units of work done.
    """

    run: Run
    command: Sequence[str]
    output: Path
    progress: Callable[[], int]


def train(plan: Sequence[Run], jobs: int, lock: int | None) -> None:
    """Train what is not trained yet; takes interrupted runs up again.

    Args:
        plan: all runs.
        jobs: how many at once.
        lock: descriptor of the folder's lock, which lasts as long as any run.

    Raises:
        AudioVQError: a run failed; the others were finished.
        Interrupted: Ctrl-C or SIGTERM came; every run saved its step.
    """
    waiting = []
    for run in plan:
        if run.done:
            continue
        file = run.folder.with_suffix(".yaml")
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(file, configs.to_yaml(run.config))
        waiting.append(_Job(run, ["train", str(file)], file.with_suffix(".out"), _Steps(run)))
    total = sum(run.config.train.max_steps for run in plan)
    done = total - sum(job.run.config.train.max_steps for job in waiting)
    _work(waiting, jobs, lock, tqdm(total=total, initial=done, unit="step", desc="training"))


def evaluate(
    plan: Sequence[Run],
    data: Manifest,
    *,
    split: str,
    most: int | None,
    jobs: int,
    lock: int | None,
) -> list[dict[str, Any]]:
    """Evaluate what is not evaluated yet; returns the evaluation of each run, as JSON values.

    Args:
        plan: all runs, trained.
        data: the corpus.
        split: what they are evaluated on.
        most: utterances; None: all.
        jobs: how many at once.
        lock: descriptor of the folder's lock.

    Raises:
        AudioVQError: an evaluation failed; the others were finished.
    """
    waiting = []
    for run in plan:
        if _evaluation(run, data, split, most) is None:
            command = ["evaluate", str(run.folder), str(data.path), "--split", split]
            command += ["-o", str(_place(run)), "--json"]
            command += [] if most is None else ["--max-utterances", str(most)]
            waiting.append(_Job(run, command, run.folder.with_suffix(".out"), lambda: 0))
    bar = tqdm(total=len(plan), initial=len(plan) - len(waiting), unit="run", desc="evaluating")
    _work(waiting, jobs, lock, bar, each=1)
    found = [_evaluation(run, data, split, most) for run in plan]
    assert all(e is not None for e in found)
    return [e for e in found if e is not None]


def _place(run: Run) -> Path:
    return run.folder / "evaluation.json"


def _evaluation(run: Run, data: Manifest, split: str, most: int | None) -> dict[str, Any] | None:
    """Return the stored evaluation, if it is of this model on this data."""
    try:
        found: dict[str, Any] = json.loads(_place(run).read_text("utf-8"))
        total = len(data.select(None if split == "all" else split))
        wanted = {
            "manifest_fingerprint": data.fingerprint(),
            "split": split,
            "utterances": total if most is None else min(most, total),
        }
        listed = dict(found["data"])
        listed["utterances"] += len(found.get("rejected", ()))
        if any(listed[k] != v for k, v in wanted.items()):
            return None
        same = found["model"]["fingerprint"] == audiovq.load(run.folder).fingerprint()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if same else None


class _Steps:
    """How many steps a run's log has; reads on only when the file has grown."""

    def __init__(self, run: Run) -> None:
        self.path, self.size, self.steps = run.folder / "log.jsonl", -1, 0

    def __call__(self) -> int:
        size = self.path.stat().st_size if self.path.exists() else 0
        if size != self.size:
            self.size = size
            self.steps = max((e["step"] for e in read_log(self.path)), default=0)
        return self.steps


def _work(
    waiting: list[_Job], jobs: int, lock: int | None, bar: "tqdm[Any]", *, each: int = 0
) -> None:
    """Run commands, some at a time, with one progress bar over all of them."""
    start = bar.n
    finished, failures = 0, []
    running: list[tuple[_Job, subprocess.Popen[bytes]]] = []
    queue = list(waiting)
    with bar, Stop() as stop:
        while queue or running:
            if stop.requested is not None:
                _end(running)
                raise Interrupted(stop.requested, int(bar.n))
            while queue and len(running) < jobs:
                job = queue.pop(0)
                running.append((job, _start(job, jobs, lock)))
            time.sleep(_POLL_SECONDS)
            for job, process in list(running):
                if process.poll() is None:
                    continue
                running.remove((job, process))
                finished += each or job.run.config.train.max_steps
                if process.returncode:
                    failures.append(f"{job.run.folder}: {_last_line(job, process.returncode)}")
            bar.n = start + finished + sum(job.progress() for job, _ in running)
            bar.set_postfix_str(", ".join(j.run.entry.label for j, _ in running), refresh=True)
    if failures:
        raise AudioVQError(
            f"{len(failures)} of {len(waiting)} failed, the others are finished: {failures[0]}"
        )


def _start(job: _Job, jobs: int, lock: int | None) -> "subprocess.Popen[bytes]":
    """Start a command; the cores are shared out, and Ctrl-C reaches us alone.

    The command keeps the lock: were we killed, nobody could start it a second time beside it.
    """
    threads = max(1, (os.cpu_count() or 1) // jobs)
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdecimal():  # whoever shares a machine may ask for less
        threads = max(1, min(threads, int(wanted)))
    with job.output.open("wb") as output:
        return subprocess.Popen(  # noqa: S603  (ourselves)
            [sys.executable, "-m", "audiovq", *job.command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=output,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            start_new_session=True,
            pass_fds=() if lock is None else (lock,),
        )


def _end(running: Sequence[tuple[_Job, "subprocess.Popen[bytes]"]]) -> None:
    """Ask every process to stop, and wait until each has saved its step."""
    for _, process in running:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    for _, process in running:
        process.wait()


def _last_line(job: _Job, code: int) -> str:
    lines = job.output.read_text("utf-8", "replace").strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else f"exit code {code}"
