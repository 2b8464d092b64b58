"""Every quantizer beside vector-quantize-pytorch's class of the same name, on the CPU.

python benchmarks/bottlenecks.py [--save] [--threads N] [--only NAME]

train: forward, backward of output and loss, codebook update. eval: frames to codes and code
vectors, without gradient (ours: encode, then decode; theirs: forward in eval mode). Both sides get
frames as they like them: ours (B, D, T), theirs (B, T, D).
"""

import sys
from collections.abc import Callable
from typing import Any

import torch
import vector_quantize_pytorch as vqp
from _common import finish, in_subprocess, interleaved
from torch import Tensor

from audiovq import registry
from audiovq.bottlenecks._base import Context
from audiovq.config import parse

ITEMS, FRAMES, D, N, ROUNDS = 32, 512, 64, 512, 9

# name -> (our bottleneck, its settings, theirs)
PAIRS: dict[str, tuple[str, dict[str, Any], Callable[[], torch.nn.Module]]] = {
    "vq_ema": (
        "vq_ema", {"dim": D, "codebook_size": N},
        lambda: vqp.VectorQuantize(D, codebook_size=N, decay=0.99, rotation_trick=False),
    ),
    "vq_ema, rotation": (
        "vq_ema", {"dim": D, "codebook_size": N, "estimator": "rotation"},
        lambda: vqp.VectorQuantize(D, codebook_size=N, decay=0.99, rotation_trick=True),
    ),
    "vq_ema, factorised": (
        "vq_ema", {"dim": D, "codebook_size": N, "factorised": {"dim": 8}},
        lambda: vqp.VectorQuantize(
            D, codebook_size=N, codebook_dim=8, use_cosine_sim=True, rotation_trick=False
        ),
    ),
    "vq": (
        "vq", {"dim": D, "codebook_size": N},
        lambda: vqp.VectorQuantize(
            D, codebook_size=N, learnable_codebook=True, ema_update=False, rotation_trick=False
        ),
    ),
    "rvq, 8 codebooks": (
        "rvq", {"dim": D, "codebook_size": N, "num_codebooks": 8, "dropout": 0.0},
        lambda: vqp.ResidualVQ(
            dim=D, codebook_size=N, num_quantizers=8, decay=0.99, rotation_trick=False
        ),
    ),
    "gvq, 4 groups": (
        "gvq", {"dim": D, "codebook_size": N, "num_codebooks": 4},
        lambda: vqp.GroupedResidualVQ(
            dim=D, groups=4, codebook_size=N, num_quantizers=1, decay=0.99, rotation_trick=False
        ),
    ),
    "simvq": (
        "simvq", {"dim": D, "codebook_size": N},
        lambda: vqp.SimVQ(dim=D, codebook_size=N, rotation_trick=False),
    ),
    "fsq": ("fsq", {"levels": [8, 8, 8]}, lambda: vqp.FSQ(levels=[8, 8, 8])),
    "lfq": ("lfq", {"bits": 9}, lambda: vqp.LFQ(codebook_size=512, commitment_loss_weight=0.25)),
    "bsq": ("bsq", {"bits": 9}, lambda: vqp.LFQ(codebook_size=512, spherical=True)),
}  # fmt: skip

MEMORY = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from bottlenecks import both
name, side, training = sys.argv[1], sys.argv[2], sys.argv[3] == "train"
import torch
torch.set_num_threads(1)

def memory(key):
    line = next(n for n in Path("/proc/self/status").read_text().splitlines() if key in n)
    return int(line.split()[1]) / 1024

small = both(name, training, items=1, frames=64)[side]
small()  # everything lazy is loaded
run = both(name, training)[side]
Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
before = memory("VmRSS")
run()
print(json.dumps(memory("VmHWM") - before))
"""


def both(
    name: str, training: bool, *, items: int = ITEMS, frames: int = FRAMES
) -> dict[str, Callable[[], Any]]:
    """One step of ours and of theirs, on equal frames."""
    kind, values, make_theirs = PAIRS[name]
    found = registry.get("bottlenecks", kind)
    ours = found.cls(parse(found.config, {"name": kind, **values})).train(training)
    theirs = make_theirs().train(training)
    torch.manual_seed(0)
    z = torch.randn(items, ours.in_channels, frames)
    rows = z.transpose(1, 2).contiguous()
    context = Context(keys=torch.arange(items))
    if hasattr(ours, "initialise"):
        ours.initialise(z[:8, :, :128])
    if training:
        theirs(rows[:8, :128])  # its k-means or its first use, which is not what is measured

    def our_step() -> None:
        if training:
            out = ours(z.requires_grad_(), context)
            (out.z.sum() + out.loss.mean()).backward()
            ours.update(out.statistics)
        else:
            with torch.no_grad():
                ours.decode(ours.encode(z))

    def their_step() -> None:
        with torch.set_grad_enabled(training):
            out = theirs(rows.requires_grad_(training))
            if training:
                losses = [v.sum() for v in out[2:] if isinstance(v, Tensor)]
                (out[0].sum() + sum(losses)).backward()

    return {"audiovq": our_step, "vector-quantize-pytorch": their_step}


def main() -> None:
    threads = int(sys.argv[sys.argv.index("--threads") + 1]) if "--threads" in sys.argv else 1
    torch.set_num_threads(threads)
    names = [sys.argv[sys.argv.index("--only") + 1]] if "--only" in sys.argv else list(PAIRS)
    rows, results = [], {}
    for name in names:
        result: dict[str, Any] = {}
        for mode in ("train", "eval"):
            seconds = interleaved(both(name, mode == "train"), ROUNDS)
            peak = {side: in_subprocess(MEMORY, name, side, mode, sys.path[0]) for side in seconds}
            result[mode] = {"seconds": seconds, "mib": peak}
        results[name] = result
        cells = [name]
        for mode in ("train", "eval"):
            ours, theirs = result[mode]["seconds"].values()
            cells += [f"{1e3 * ours:.1f}", f"{theirs / ours:.1f}"]
        for mode in ("train", "eval"):
            ours, theirs = result[mode]["mib"].values()
            cells += [f"{ours:.0f}", f"{theirs:.0f}"]
        rows.append(cells)
    head = ["16,384 frames", "train ms", "theirs / ours", "eval ms", "theirs / ours",
            "train MiB", "theirs", "eval MiB", "theirs"]  # fmt: skip
    shape = {"items": ITEMS, "frames": FRAMES, "dim": D, "codes": N, "rounds": ROUNDS}
    finish("bottlenecks", {"shape": shape, "results": results}, [head, *rows])


if __name__ == "__main__":
    main()
