"""Work that is killed at random instants until it gets through."""

import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Callable

from tqdm import tqdm


def kill_until_done(work: Callable[[], object], rng: random.Random, patience: float) -> int:
    """Run work in forked processes, each given a little more time, until one finishes.

    Returns how many were killed.
    """

    def alone() -> None:
        # tqdm's own lock is shared by forked processes: a killed one would hold it for ever
        tqdm.set_lock(threading.RLock())
        work()

    context, kills = multiprocessing.get_context("fork"), 0
    while True:
        process = context.Process(target=alone)
        process.start()
        process.join(rng.uniform(0.0, patience * (2 + kills % 80)))
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            kills += 1
        if process.exitcode == 0:
            return kills
        assert process.exitcode == -signal.SIGKILL, "it failed by itself"
