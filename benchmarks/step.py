"""Where the time of a training step goes: data, encoder, quantizer, decoder, losses, backward.

    python benchmarks/step.py [--save] [--threads N]

Uses made-up speech, so that it runs anywhere. Data is what the step waits for, with one worker.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from _common import finish

from audiovq import config as configs
from audiovq import share
from audiovq.autoencoder import Autoencoder
from audiovq.bottlenecks._base import Context
from audiovq.data import manifest as manifests
from audiovq.data.loader import Loader
from audiovq.data.prepare import make_corpus, prepare
from audiovq.losses.reconstruction import ReconstructionLoss
from audiovq.train.optim import Optimizer

STEPS, WARM_UP = 15, 3


def main() -> None:
    threads = int(sys.argv[sys.argv.index("--threads") + 1]) if "--threads" in sys.argv else 1
    torch.set_num_threads(threads)
    recipe = share.load_recipe("train_autoencoder")
    values = configs.read_yaml(share.config_path("autoencoder/vq_ema"))
    cfg = configs.parse(recipe.Config, values)
    with tempfile.TemporaryDirectory() as folder:
        root, path = Path(folder) / "speech", Path(folder) / "speech.jsonl"
        root.mkdir()
        make_corpus("folder").fake(root)
        prepare("folder", root, path, progress=False)
        parts = run(cfg, manifests.read(path))
    medians = {k: statistics.median(v[WARM_UP:]) for k, v in parts.items()}
    total = sum(medians.values())
    table = [["part of a step of vq_ema", "ms", "share"]]
    table += [[k, f"{1e3 * v:.1f}", f"{100 * v / total:.1f} %"] for k, v in medians.items()]
    speed = cfg.data.batch_size * cfg.data.segment_seconds / total
    table.append(["whole step", f"{1e3 * total:.1f}", f"{speed:.1f} s of audio per s"])
    finish("step", {"steps": STEPS, "seconds": medians, "audio_per_second": speed}, table)


def run(cfg, manifest) -> dict[str, list[float]]:
    torch.manual_seed(0)
    model = Autoencoder(cfg.model).train()
    loss = ReconstructionLoss(cfg.loss, model.sample_rate)
    optimizer = Optimizer([model], cfg.optim)
    loader = Loader(manifest, manifest.select("train"), cfg.data, model.sample_rate, 0)
    names = ("data", "encoder", "quantizer", "decoder", "losses", "backward", "optimizer, update")
    parts: dict[str, list[float]] = {n: [] for n in names}
    batches = loader.batches(0)
    for step in range(STEPS):
        marks = [time.perf_counter()]

        def mark(marks=marks) -> None:
            marks.append(time.perf_counter())

        batch = next(batches)
        mark()
        z = model.encoder(batch.x)
        mark()
        out = model.bottleneck(z, Context(keys=batch.keys))
        mark()
        x_hat = model.decoder(out.z)
        mark()
        terms = loss.total(loss(batch.x, x_hat, batch.lengths), batch.lengths, batch.lengths.sum())
        value = torch.stack([*terms.values(), out.loss.mean()]).sum()
        mark()
        optimizer.zero_grad()
        value.backward()
        mark()
        optimizer.clip()
        optimizer.step(step, torch.tensor(True))
        model.bottleneck.update(out.statistics)
        mark()
        for name, a, b in zip(names, marks, marks[1:], strict=False):
            parts[name].append(b - a)
    return parts


if __name__ == "__main__":
    main()
