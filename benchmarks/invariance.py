"""How many codes change with batch, padding, chunking and threads; on your model and corpus.

    python benchmarks/invariance.py MODEL MANIFEST [--utterances 50] [--save]

In exact mode the answer must be none. In default mode, rounding may flip a frame that lies between
two codes; this says how many.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from _common import finish
from torch import Tensor
from torch.nn import functional as F

import audiovq
from audiovq.data import manifest as manifests

BATCHES, PADDINGS, CHUNKS = (2, 8, 16), (1, 5_000, 40_000), (16, 50, 128, 333, 1000)  # s, frames


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("manifest")
    parser.add_argument("--utterances", type=int, default=50)
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    model, manifest = audiovq.load(given.model), manifests.read(given.manifest)
    records = manifest.records[:: max(1, len(manifest.records) // given.utterances)]
    records = records[: given.utterances]
    waves = [manifest.load(r, model.sample_rate) for r in records]
    table = [["way of encoding", "mode", "codes that differ", "of"]]
    for exact in (True, False):
        alone = [model.encode(x, exact=exact)[0] for x in waves]
        total = sum(c.shape[-1] for c in alone)
        mode = "exact" if exact else "default"
        for name, codes in ways(model, waves, exact):
            changed = sum(int((a != b).sum()) for a, b in zip(alone, codes, strict=True))
            table.append([name, mode, changed, total])
        table.append(
            ["command line, threads 1 and 2", mode, by_command(given, records, exact), total]
        )
    finish("invariance", {"utterances": len(records), "rows": table[1:]}, table)


def ways(model, waves: list[Tensor], exact: bool):
    """Yield a name and every utterance's codes for each way of encoding."""
    for size in BATCHES:
        yield f"batches of {size}", batched(model, waves, size, 0, exact)
    for padding in PADDINGS:
        yield f"batches of 4, {padding} samples more", batched(model, waves, 4, padding, exact)
    for chunk in CHUNKS:
        if exact:
            blocks = [x.split(chunk * model.hop_length + 7, -1) for x in waves]
            codes = [torch.cat(list(model.encode_blocks(b)), -1)[0] for b in blocks]
            yield f"stream of blocks of {chunk} frames", codes
        else:
            codes = [model.encode(x, chunk_frames=chunk)[0] for x in waves]
            yield f"chunks of {chunk} frames", codes
    torch.set_num_threads(2)
    yield "two threads, in one process", [model.encode(x, exact=exact)[0] for x in waves]
    torch.set_num_threads(1)


def batched(model, waves: list[Tensor], size: int, padding: int, exact: bool) -> list[Tensor]:
    """Encode in padded batches; cut each utterance's codes out again."""
    codes = []
    for i in range(0, len(waves), size):
        part = waves[i : i + size]
        lengths = torch.tensor([x.shape[-1] for x in part])
        longest = int(lengths.max()) + padding
        x = torch.cat([F.pad(w, (0, longest - w.shape[-1])) for w in part])
        rows = model.encode(x, lengths, exact=exact)
        codes += [row[:, : model.frames(int(n))] for row, n in zip(rows, lengths, strict=True)]
    return codes


def by_command(given, records, exact: bool) -> int:
    """Count codes that differ between `audiovq extract --threads 1` and `--threads 2`."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = manifests.read(given.manifest)
        path = Path(folder) / "part.jsonl"
        manifests.write(path, str(manifest.root), records)
        found = []
        for threads in ("1", "2"):
            out = Path(folder) / threads
            flag = "--exact" if exact else "--fast"
            command = [sys.executable, "-m", "audiovq", "extract", given.model, str(path)]
            options = ["-o", str(out), "--threads", threads, flag]
            subprocess.run([*command, *options], check=True, capture_output=True)
            found.append(torch.cat([unit.codes[0] for unit in audiovq.units.load(out)]))
        return int((found[0] != found[1]).sum())


if __name__ == "__main__":
    main()
