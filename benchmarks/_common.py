"""What every benchmark does: interleaved medians, ratios, hardware, JSON and a table."""

import datetime as dt
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import audiovq
from audiovq.eval import machine

RESULTS = Path(__file__).parent / "results"


def interleaved(
    functions: dict[str, Callable[[], Any]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median seconds of each function, taking turns so that load hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(rounds):
        for name, function in functions.items():
            start = clock()
            function()
            times[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def in_subprocess(code: str, *arguments: str) -> Any:
    """Run code in a fresh interpreter; return the JSON it prints on its last line."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def named(word: str) -> str:
    """Return an argument without the folders of this machine: of an absolute path the last name."""
    key, equals, value = word.rpartition("=")
    return f"{key}{equals}{Path(value).name}" if Path(value).is_absolute() else word


def finish(name: str, values: dict[str, Any], table: list[list[Any]]) -> None:
    """Print the table and the JSON; `--save` keeps the JSON in benchmarks/results."""
    about = {
        "benchmark": name,
        "command": " ".join(["python", f"benchmarks/{name}.py", *map(named, sys.argv[1:])]),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": machine.describe(torch.device("cpu")),
        "threads": torch.get_num_threads(),
        "versions": {
            "audiovq": audiovq.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        **values,
    }
    widths = [max(len(str(row[i])) for row in table) for i in range(len(table[0]))]
    for row in table:
        print("  ".join(str(c).ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())
    text = json.dumps(about, indent=1)
    print(text)
    if "--save" in sys.argv:
        (RESULTS / name).parent.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(text + "\n")
