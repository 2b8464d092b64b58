"""Many visitors at once: what they are answered, and what is left of them afterwards."""

import gc
import os
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from demo_app.serve import Running
from tests.demo_app.small import Visitor, tone


@dataclass(frozen=True)
class Load:
    """What came of it.

    Attributes:
        answers: how often each kind was given.
        refusal_seconds: how long each refusal took.
        wrong: answers that are neither right nor a refusal.
    """

    answers: Counter
    refusal_seconds: list[float]
    wrong: list[str]


def visit(running: Running, visitors: int, uploads: int, seconds: float = 2.0) -> Load:
    """Let so many visitors upload and measure so many recordings each, all at once."""
    answers, slow, wrong = Counter(), [], []
    lock = threading.Lock()

    def one(number: int) -> None:
        visitor = Visitor(running)
        for i in range(uploads):
            length = seconds + 0.01 * (number * uploads + i)  # every file differs
            start = time.perf_counter()
            try:
                status, text = visitor.measure(tone(length))
            except Exception as error:  # noqa: BLE001
                status, text = 0, repr(error)
            took = time.perf_counter() - start
            with lock:
                if status == 200 and f"{length:.2f} s at 16000 Hz" in text:
                    answers["measured"] += 1
                elif status in {429, 503, 507}:
                    answers[f"refused {status}"] += 1
                    slow.append(took)
                else:
                    wrong.append(f"{status} {text[:200]}")
        visitor.http.close()

    threads = [threading.Thread(target=one, args=(n,)) for n in range(visitors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Load(answers, slow, wrong)


def memory() -> int:
    """Return the resident memory of this process (bytes)."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def files(running: Running) -> list[Path]:
    """Return what is stored of visitors."""
    return [Path(folder, name) for folder, _, names in os.walk(running.cache) for name in names]


def wait_until_empty(running: Running, seconds: float) -> list[Path]:
    """Wait until nothing is stored any more, for so long at most; return what is."""
    until = time.monotonic() + seconds
    while (left := files(running)) and time.monotonic() < until:
        time.sleep(0.2)
    return left
