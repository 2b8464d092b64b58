"""How long the demo takes: to its first page, to a reconstruction, and in the browser.

python benchmarks/demo.py MODELS [--starts 3] [--save]

MODELS: a folder of models; the first one with codes is asked. The server runs as `audiovq demo`
in a process of its own; its start is counted from the command to the first page that is answered,
its processor time with it (the figure that a busy machine leaves alone). The browser's part is
left out where there is no Chromium.
"""

import itertools
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from _common import finish  # noqa: E402

EXAMPLE = ROOT / "demo_app" / "examples" / "LJ001-0001.flac"
SWITCHES = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)


@contextmanager
def server(models: Path) -> Iterator[tuple[str, int, float]]:
    """Start the demo; gives its address, its process, and the seconds to the first page."""
    command = [sys.executable, "-m", "audiovq", "demo", "--models", str(models), "--port", "0"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"http://\S+", line):
                break
        else:
            raise SystemExit("the demo did not start")
        page = httpx.get(found.group(), trust_env=False)
        page.raise_for_status()
        yield found.group(), process.pid, time.perf_counter() - start
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def processor_seconds(pid: int) -> float:
    """Return what a process and those it has ended took of the processors."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def resynthesis(url: str) -> dict[str, Any]:
    """Ask for a reconstruction of ten seconds three times over the API."""
    from gradio_client import Client, handle_file

    client = Client(url, verbose=False)
    known = client.predict(api_name="/models")
    model = next(m["name"] for m in known if m["codebook_sizes"])
    calls, factors = [], []
    for _ in range(3):
        start = time.perf_counter()
        _, figures = client.predict(handle_file(str(EXAMPLE)), model, 0, api_name="/resynthesise")
        calls.append(time.perf_counter() - start)
        factors.append(figures["real_time_factor"])
    return {
        "model": model,
        "audio_seconds": 9.655,
        "call_seconds": min(calls),
        "real_time_factor": min(factors),
        "times_real_time": 1 / min(factors),
    }


def browser(url: str) -> dict[str, Any]:
    """Open the page, take the example, resynthesise it; seconds until each is there."""
    chromium = os.environ.get("AUDIOVQ_CHROMIUM") or shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    if not chromium:
        return {}
    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=chromium, args=SWITCHES.split())
        page = started.new_page()
        times = [time.perf_counter()]
        page.goto(url)
        page.wait_for_selector("#resynthesise-run", state="visible")
        times.append(time.perf_counter())
        page.click("#example-LJ001-0001")
        page.wait_for_selector("#recording a[download]")
        times.append(time.perf_counter())
        page.click("#resynthesise-run")
        page.wait_for_selector("#resynthesise-result a[download]")
        times.append(time.perf_counter())
        page.wait_for_selector("#resynthesise-spectrograms img")
        times.append(time.perf_counter())
        started.close()
    names = ("page", "example", "reconstruction", "pictures")
    return dict(zip(names, (b - a for a, b in itertools.pairwise(times)), strict=True))


def main() -> None:
    models = Path(sys.argv[1])
    starts = int(sys.argv[sys.argv.index("--starts") + 1]) if "--starts" in sys.argv else 3
    first, processor = [], []
    for number in range(starts):
        with server(models) as (url, pid, seconds):
            first.append(seconds)
            processor.append(processor_seconds(pid))
            if number == starts - 1:
                result = {"resynthesis": resynthesis(url), "browser_seconds": browser(url)}
    result = {
        "first_page_seconds": {"best": min(first), "median": statistics.median(first)},
        "first_page_processor_seconds": min(processor),
        **result,
    }
    rows = [
        ["first page (s)", f"{min(first):.1f}"],
        ["... of processor time (s)", f"{min(processor):.1f}"],
        ["resynthesis of 9.7 s (x real time)", f"{result['resynthesis']['times_real_time']:.0f}"],
        ["... asked over the API, all in (s)", f"{result['resynthesis']['call_seconds']:.2f}"],
        *([f"browser: {k} (s)", f"{v:.2f}"] for k, v in result["browser_seconds"].items()),
    ]
    finish("demo", result, rows)


if __name__ == "__main__":
    main()
