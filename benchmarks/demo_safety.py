"""What the demo does with attacks, bombs, killed decoders and many visitors at once.

python benchmarks/demo_safety.py [attacks] [bombs] [killed] [load] [--quick] [--save]

The server runs in a process of its own, on a page of one upload (tests/demo_app/small.py), behind
the whole gate. Memory is that process's resident set; for bombs, what this process needs to read
them, without its decoding process, which may have 1 GB at most. --quick leaves out the hour-long
bombs, and asks for a tenth of the visits.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from _common import finish  # noqa: E402

from audiovq.errors import AudioVQError  # noqa: E402
from demo_app import guard  # noqa: E402
from demo_app.settings import Settings  # noqa: E402
from tests.demo_app import attacks, bombs, load, small  # noqa: E402

QUICK = "--quick" in sys.argv
MB = 1 << 20


@dataclass
class Server:
    """The small page in another process; stands for a `Running` there."""

    url: str
    cache: Path
    pid: int

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.url.rstrip("/").rpartition(":")[2])

    def memory(self) -> int:
        """Its resident memory (bytes)."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * 4096

    def children(self) -> list[int]:
        """Its decoding processes."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/children")
        return [int(p) for t in tasks for p in t.read_text().split()]


@contextmanager
def server(**changes: Any) -> Iterator[Server]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.demo_app.small", json.dumps(changes)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        yield Server(said["url"], Path(said["cache"]), process.pid)
    finally:
        process.stdin.close()
        process.wait(30)


def attacked() -> dict[str, Any]:
    limits = {"max_upload": MB, "burst": 10_000}
    listener = attacks.Listener()
    with tempfile.TemporaryDirectory() as folder, server(**limits) as running:
        canary = Path(folder) / "canary.wav"
        canary.write_text(attacks.CANARY)
        scene = attacks.Scene(small.Visitor(running), running, canary, listener, limits)
        refused, shown = 0, 0
        for attack in attacks.ATTACKS.values():
            status, text = attack(scene)
            refused += attacks.was_refused(status, text)
            shown += attacks.CANARY in text or "Traceback" in text
        alive = "0.50 s" in scene.visitor.measure(small.tone())[1]
    listener.close()
    return {
        "requests": len(attacks.ATTACKS), "refused": refused, "canary_or_traceback_shown": shown,
        "addresses_fetched": len(listener.calls), "alive_afterwards": alive,
    }  # fmt: skip


def peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def bombed() -> list[dict[str, Any]]:
    """Read every bomb here, as the server does: time, and memory beyond what was there."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.wav"
        for name, data in (bombs.cheap() | ({} if QUICK else bombs.large())).items():
            path.write_bytes(data)
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
            before, start, spent = peak(), time.perf_counter(), os.times()[:4]
            try:
                answer = f"read: {guard.read(path, Settings()).seconds:.1f} s"
            except AudioVQError as error:
                answer = str(error)
            took = time.perf_counter() - start
            cpu = sum(os.times()[:4]) - sum(spent)  # of the decoding process, too
            row = {"bomb": name, "bytes": len(data), "seconds": round(took, 3)}
            row["cpu_seconds"] = round(cpu, 2)
            found.append(row | {"rss_mb": round((peak() - before) / MB, 1), "answer": answer})
    return found


def killed() -> dict[str, Any]:
    """Kill the decoder of an upload, again and again."""
    times = 5 if QUICK else 50
    errors = fine = 0
    with server(burst=10_000) as running:
        visitor = small.Visitor(running)
        stored = small.file_at(visitor.upload(small.tone(20.0, format="FLAC")).json()[0])

        def kill() -> None:
            until = time.monotonic() + 10
            while not (found := running.children()) and time.monotonic() < until:
                time.sleep(0.001)
            for child in found:
                os.kill(child, 9)

        for _ in range(times):
            killer = threading.Thread(target=kill)
            killer.start()
            status, text = visitor.call("measure", stored)
            killer.join()
            errors += status == 200 and "could not be decoded" in text
            fine += "20.00 s" in visitor.call("measure", stored)[1]
    return {"kills": times, "errors_shown": errors, "server_answers_next": fine}


def visited() -> dict[str, Any]:
    visitors, uploads = 20, 1 if QUICK else 10
    keep = {"keep_seconds": 20, "sweep_seconds": 10, "burst": 10_000}
    with server(**keep) as running:
        before_all = running.memory()
        load.visit(running, visitors, max(1, uploads // 2))  # warm-up
        before = running.memory()
        found = load.visit(running, visitors, uploads)
        after = running.memory()
        time.sleep(60)
        left, later = load.files(running), running.memory()
    times = sorted(found.refusal_seconds)
    return {
        "visitors": visitors, "uploads": visitors * uploads, "answers": dict(found.answers),
        "wrong": found.wrong[:3],
        "refusal_median_s": round(statistics.median(times), 3) if times else None,
        "refusal_p95_s": round(times[int(0.95 * (len(times) - 1))], 3) if times else None,
        "rss_mb": {"start": before_all // MB, "warm": before // MB, "after": after // MB,
                   "60 s later": later // MB},
        "rss_growth_mb": round((after - before) / MB, 1), "files_left_after_60_s": len(left),
        **keep,
    }  # fmt: skip


def _line(bomb: dict[str, Any]) -> str:
    cost = f"{bomb['seconds']:.3f} s ({bomb['cpu_seconds']:.2f} s of a processor)"
    return f"{cost}, +{bomb['rss_mb']} MB: {bomb['answer'][:50]}"


def main() -> None:
    parts = {"attacks": attacked, "bombs": bombed, "killed": killed, "load": visited}
    chosen = [name for name in parts if name in sys.argv] or list(parts)
    values: dict[str, Any] = {name: parts[name]() for name in chosen}
    table: list[list[Any]] = [["what", "found"]]
    for name, found in values.items():
        if name == "bombs":
            table += [[f"bomb: {b['bomb']}", _line(b)] for b in found]
        else:
            table += [[f"{name}: {what}", value] for what, value in found.items()]
    finish("demo_safety", values | {"load_average": os.getloadavg()}, table)


if __name__ == "__main__":
    main()
