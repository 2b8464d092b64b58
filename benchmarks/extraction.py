"""Encoding many short files and a long one on one thread, beside other ways to do it.

python benchmarks/extraction.py MODEL MANIFEST [--clips N] [--save]

Cuts clips of 0.6 s from the manifest's speech, as FLAC, into a temporary folder. The ways take
turns over portions of the clips; times are medians per clip, on the clock and of the processor
(which other work on the machine disturbs less).
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import librosa
import soundfile
import torch
from _common import finish, in_subprocess, interleaved
from torch import Tensor

import audiovq
from audiovq import audio
from audiovq.autoencoder import Autoencoder
from audiovq.data import manifest as manifests
from audiovq.nn import lean
from audiovq.units.extract import extract

SECONDS, PORTION, LONG_SECONDS = 0.6, 50, 60

MEMORY = """
import json, sys, torch
from pathlib import Path
torch.set_num_threads(1)
import audiovq
from audiovq import audio
model = audiovq.load(sys.argv[1])
Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
frames = sum(c.shape[-1] for c in model.encode_blocks(audio.blocks(sys.argv[2], model.sample_rate)))
status = Path("/proc/self/status").read_text().splitlines()
print(json.dumps(int(next(n for n in status if "VmHWM" in n).split()[1]) / 1024))
"""


def cut(manifest: manifests.Manifest, rate: int, count: int, out: Path) -> list[Path]:
    """Write clips of speech, as many from each recording as it takes."""
    size, paths = round(SECONDS * rate), []
    long_enough = [r for r in manifest.records if r.num_samples / r.sample_rate > 3 * SECONDS]
    for k in range(count):
        record = long_enough[k % len(long_enough)]
        places = round(record.num_samples / record.sample_rate / SECONDS) - 1
        start = (k // len(long_enough)) % places * round(SECONDS * record.sample_rate)
        x = manifest.load(
            record, rate, start=start, num_samples=round(SECONDS * record.sample_rate)
        )
        paths.append(out / f"{k:05}.flac")
        soundfile.write(paths[-1], x[0, 0, :size].numpy(), rate)
    return paths


def _never(x: Tensor) -> bool:
    """In the place of `lean.applies`; a mock would keep every tensor it is asked about."""
    del x
    return False


def ways(model: Autoencoder) -> dict[str, Callable[[list[Path], list[Tensor]], Any]]:
    """Return what is compared; each takes the paths of some clips, and the clips themselves."""
    rate = model.sample_rate

    def plainly(paths: list[Path]) -> None:
        with mock.patch.object(lean, "applies", _never):
            for path in paths:
                model.encode(audio.load(path, rate))

    def with_librosa(paths: list[Path]) -> None:
        with mock.patch.object(lean, "applies", _never):
            for path in paths:
                x = torch.from_numpy(librosa.load(path, sr=rate)[0])
                model.encode(x.view(1, 1, -1))

    return {
        "decode only": lambda paths, _: [audio.load(p, rate) for p in paths],
        "encode only, encode_many": lambda _, xs: model.encode_many(xs),
        "exact, packed": lambda p, _: model.encode_many([audio.load(f, rate) for f in p]),
        "default": lambda p, _: model.encode_many([audio.load(f, rate) for f in p], exact=False),
        "exact, one by one": lambda p, _: [
            model.encode(audio.load(f, rate), exact=True) for f in p
        ],
        "one by one": lambda p, _: [model.encode(audio.load(f, rate)) for f in p],
        "one by one, plain layers": lambda p, _: plainly(p),
        "librosa, one by one, plain layers": lambda p, _: with_librosa(p),
    }


def take_turns(model: Autoencoder, paths: list[Path]) -> dict[str, dict[str, float]]:
    """Return each way's median milliseconds per clip, by the clock and of the processor."""
    functions = ways(model)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in functions}
    for first in range(0, len(paths), PORTION):
        some = paths[first : first + PORTION]
        loaded = [audio.load(p, model.sample_rate) for p in some]
        for name, function in functions.items():
            if first == 0:
                function(some, loaded)
            wall, cpu = time.perf_counter(), time.process_time()
            function(some, loaded)
            spent = time.perf_counter() - wall, time.process_time() - cpu
            times[name].append((spent[0] / len(some) * 1e3, spent[1] / len(some) * 1e3))
    return {
        name: {
            "wall_ms": statistics.median(t[0] for t in values),
            "cpu_ms": statistics.median(t[1] for t in values),
        }
        for name, values in times.items()
    }


def long_file(model: Autoencoder, paths: list[Path], folder: Path) -> dict[str, float]:
    """Return ratios to the encoder's own speed, and the peak memory of two lengths."""
    x = torch.cat([audio.load(p, model.sample_rate) for p in paths], -1)
    x = x.repeat(1, 1, -(-LONG_SECONDS * model.sample_rate // x.shape[-1]))
    x = x[..., : LONG_SECONDS * model.sample_rate]
    files = {minutes: folder / f"{minutes}.wav" for minutes in (1, 20)}
    for minutes, path in files.items():
        with soundfile.SoundFile(path, "w", model.sample_rate, 1) as file:
            for _ in range(minutes):
                file.write(x[0, 0].numpy())
    size = 128 * model.hop_length

    @torch.no_grad()
    def own() -> None:
        with lean.weights_kept():
            for part in x[..., : x.shape[-1] // size * size].split(size, -1):
                model.bottleneck.encode(model.encoder(part))  # type: ignore[operator]

    seconds = interleaved(
        {
            "own": own,
            "exact": lambda: model.encode(x, exact=True),
            "default": lambda: model.encode(x),
            "from disk": lambda: list(
                model.encode_blocks(audio.blocks(files[1], model.sample_rate))
            ),
        },
        7,
    )
    return {f"{k} over own": v / seconds["own"] for k, v in seconds.items() if k != "own"} | {
        "audio seconds per second": LONG_SECONDS / seconds["exact"],
        "memory_1_min_mb": in_subprocess(MEMORY, sys.argv[1], str(files[1])),
        "memory_20_min_mb": in_subprocess(MEMORY, sys.argv[1], str(files[20])),
    }


def extraction(model: Autoencoder, paths: list[Path], folder: Path) -> dict[str, float]:
    """Return milliseconds per clip of `extract`, all of it, and of a loop, in one run."""
    records = [
        manifests.Record(
            id=p.stem,
            path=p.name,
            sample_rate=model.sample_rate,
            num_samples=audio.probe(p).num_samples,
        )
        for p in paths
    ]
    manifests.write(folder / "clips.jsonl", str(paths[0].parent), records)
    manifest, rounds = manifests.read(folder / "clips.jsonl"), iter(range(99))
    functions = ways(model)
    seconds = interleaved(
        {
            "extract": lambda: extract(
                model, manifest, folder / f"units-{next(rounds)}", progress=False
            ),
            "loop": lambda: functions["one by one, plain layers"](paths, []),
        },
        3,
    )
    return {f"{name}_ms": s / len(paths) * 1e3 for name, s in seconds.items()}


def main() -> None:
    torch.set_num_threads(1)
    model = audiovq.load(sys.argv[1])
    clips = int(sys.argv[sys.argv.index("--clips") + 1]) if "--clips" in sys.argv else 2000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "clips").mkdir()
        paths = cut(manifests.read(sys.argv[2]), model.sample_rate, clips, folder / "clips")
        short = take_turns(model, paths)
        long = long_file(model, paths, folder)
        whole = extraction(model, paths, folder)
    slower = max(short[n]["cpu_ms"] for n in ("decode only", "encode only, encode_many"))
    cpu = {name: t["cpu_ms"] for name, t in short.items()}
    ratios = {
        "exact over one by one": cpu["one by one"] / cpu["exact, packed"],
        "exact over one by one, plain layers": (
            cpu["one by one, plain layers"] / cpu["exact, packed"]
        ),
        "default over one by one, plain layers": cpu["one by one, plain layers"] / cpu["default"],
        "default over librosa": cpu["librosa, one by one, plain layers"] / cpu["default"],
        "exact to the slower half": cpu["exact, packed"] / slower,
        "extract over one by one, plain layers": whole["loop_ms"] / whole["extract_ms"],
    }
    table: list[list[Any]] = [["way", "ms per clip", "of the processor"]]
    table += [[n, f"{t['wall_ms']:.2f}", f"{t['cpu_ms']:.2f}"] for n, t in short.items()]
    table += [[n, f"{v:.2f}", ""] for n, v in (ratios | long | whole).items()]
    values = {"clips": clips, "short": short, "ratios": ratios, "long": long, "extract": whole}
    finish("extraction", values, table)


if __name__ == "__main__":
    main()
