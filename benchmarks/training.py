"""Training of the default model: loader, saving, resuming, and a second process.

    python benchmarks/training.py [MANIFEST] [--save]

A second process is compared with what a second process gives a bare convolution loop, which needs
no data, no optimizer and nobody else; both in turns. Without MANIFEST it trains on made-up FLAC.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import torch
from _common import finish, interleaved

from audiovq import config as configs
from audiovq import share
from audiovq.autoencoder import Autoencoder
from audiovq.data import manifest as manifests
from audiovq.data.corpora import _fake
from audiovq.data.loader import Loader
from audiovq.data.prepare import prepare
from audiovq.train.checkpoint import Store
from audiovq.train.optim import Optimizer

ROUNDS, STEPS, WARM_UP = 3, 16, 6
CONFIG = "autoencoder/vq_ema"
BARE = """
import sys, time, torch
torch.set_num_threads(1)
net = torch.nn.Sequential(*(torch.nn.Conv1d(64, 64, 7, padding=3) for _ in range(8)))
x = torch.randn(int(sys.argv[1]), 64, 4000)
times = []
for _ in range(20):
    start = time.perf_counter()
    net(x).square().mean().backward()
    times.append(time.perf_counter() - start)
print(sorted(times[5:])[7])
"""


def main() -> None:
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        path = manifest_of(Path(folder))
        values = {**loading(path), **saving(path, Path(folder)), **ranks(path, Path(folder))}
    table = [["training of vq_ema", "figure"], *([k, f"{v:.3g}"] for k, v in values.items())]
    finish("training", {"values": values}, table)


def manifest_of(folder: Path) -> Path:
    given = [a for a in sys.argv[1:] if not a.startswith("--")]
    if given:
        return Path(given[0])
    for s in range(10):
        for u in range(4):
            _fake.write(folder / "audio" / str(s) / f"{u}.flac", 8.0, 10 * s + u)
    prepare("folder", folder / "audio", folder / "speech.jsonl", progress=False)
    return folder / "speech.jsonl"


def config_of(path: Path, *changes: str):
    values = configs.read_yaml(share.config_path(CONFIG))
    values = configs.override(values, (f"data.manifest={json.dumps(str(path))}", *changes))
    return configs.parse(share.load_recipe("train_autoencoder").Config, values)


def loading(path: Path) -> dict[str, float]:
    """Seconds of audio per second that the loader delivers, and that a step consumes."""
    manifest = manifests.read(path)
    found = {}
    for workers in (0, 2):
        c = config_of(path, f"data.workers={workers}")
        loader = Loader(manifest, manifest.select("train"), c.data, 16000, 0)
        with contextlib.closing(loader.batches(0)) as batches:
            list(islice(batches, 10))
            start = time.perf_counter()
            list(islice(batches, 60))
            seconds = 60 * c.data.batch_size * c.data.segment_seconds
            found[f"loader alone, {workers} workers (s of audio per s)"] = seconds / (
                time.perf_counter() - start
            )
    return found


def saving(path: Path, folder: Path) -> dict[str, float]:
    """Seconds of a save and of a resume."""
    c = config_of(path)
    model = Autoencoder(c.model)
    optimizer = Optimizer([model], c.optim)
    model(torch.randn(1, 1, 16000) * 0.1).x_hat.mean().backward()
    optimizer.step(0, torch.tensor(True))
    store, parts = Store(folder / "checkpoints"), {"model": model, "optimizer": optimizer}
    manifest = manifests.read(path)

    def save() -> None:
        model.save(folder / "model")
        store.save(1, parts)

    def resume() -> None:
        store.resume(parts)
        loader = Loader(manifest, manifest.select("train"), c.data, 16000, 0)
        with contextlib.closing(loader.batches(100000)) as batches:
            next(batches)

    times = interleaved({"save": save, "resume": resume}, 5)
    return {f"{k} (s)": v for k, v in times.items()}


def ranks(path: Path, folder: Path) -> dict[str, float]:
    """Seconds of a step in one and in two processes, and of the bare loop, in turns."""
    steps: dict[str, list[float]] = {k: [] for k in ("one", "two", "bare one", "bare two")}
    for i in range(ROUNDS):
        steps["one"].append(train(path, folder / f"one{i}", 1))
        steps["two"].append(train(path, folder / f"two{i}", 2))
        steps["bare one"].append(bare(1))
        steps["bare two"].append(bare(2))
    median = {k: statistics.median(v) for k, v in steps.items()}
    gain, bare_gain = (median[f"{b}one"] / median[f"{b}two"] for b in ("", "bare "))
    size = config_of(path).data.batch_size
    every = config_of(path).checkpoint.every
    return {
        "step in one process (s)": median["one"],
        "step in two processes, same batch (s)": median["two"],
        "audio per second in one process (s)": size / median["one"],
        "audio per second in two processes (s)": size / median["two"],
        "gain of a second process": gain,
        "gain of a bare convolution loop": bare_gain,
        "gain over the bare loop's": gain / bare_gain,
        "steps between saves": every,
    }


def train(path: Path, folder: Path, processes: int) -> float:
    """Return the median seconds of a step."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    words = ["-m", "audiovq", "train", CONFIG, f"data.manifest={json.dumps(str(path))}"]
    settings = ["data.workers=0", "log.every=1", "log.progress=false", "log.snapshots=0"]
    settings += [f"train.max_steps={STEPS}", "train.validation_utterances=1"]
    settings += [f"run.dir={folder}", "train.initialise_batches=2"]
    subprocess.run([sys.executable, *launcher, *words, *settings], check=True, capture_output=True)
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    each = [e["train/seconds_per_step"] for e in lines if "train/seconds_per_step" in e]
    return statistics.median(each[WARM_UP:])


def bare(processes: int) -> float:
    """Return the median seconds of a step of the loop, its batch shared by the processes."""
    call = [sys.executable, "-c", BARE, str(8 // processes)]
    both = [subprocess.Popen(call, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    return max(float(p.communicate()[0]) for p in both)


if __name__ == "__main__":
    main()
