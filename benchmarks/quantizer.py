"""One quantizer step (forward, statistics, update) on the CPU, beside what others do.

python benchmarks/quantizer.py [--save] [--threads N]
"""

import sys

import torch
from _common import finish, in_subprocess, interleaved
from torch.nn import functional as F
from vector_quantize_pytorch import VectorQuantize

from audiovq.bottlenecks.vq_ema import VQEMA, Config

ITEMS, FRAMES, D, N, ROUNDS = 32, 1024, 128, 1024, 15

# Peak resident memory above that before the step, in MiB; input, output and the one saved tensor
# of their size are subtracted by running `base`, which holds just two such tensors beside z.
MEMORY = f"""
import json, sys, torch
from pathlib import Path
from audiovq.bottlenecks.vq_ema import VQEMA, Config
torch.set_num_threads(1)
vq = VQEMA(Config(dim={D}, codebook_size={N}))
mode = sys.argv[1]
vq.update(vq(torch.randn(1, {D}, 4096).requires_grad_()).statistics)  # everything lazy is loaded
z = torch.randn({ITEMS}, {D}, {FRAMES}).requires_grad_()

def memory(name):
    line = next(n for n in Path("/proc/self/status").read_text().splitlines() if name in n)
    return int(line.split()[1]) / 1024

Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
before = memory("VmRSS")
if mode == "base":
    kept = [torch.empty({ITEMS}, {D}, {FRAMES}).fill_(1.0) for _ in range(2)]
else:
    out = vq(z)
    vq.update(out.statistics)
if mode == "backward":
    (out.z.sum() + out.loss.sum()).backward()
print(json.dumps(memory("VmHWM") - before))
"""


def main() -> None:
    threads = int(sys.argv[sys.argv.index("--threads") + 1]) if "--threads" in sys.argv else 1
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    z = torch.randn(ITEMS, D, FRAMES)  # as convolutions give it: (B, D, T)
    rows = z.transpose(1, 2).contiguous()  # as the others want it: (B, T, D)
    flat, codes = rows.view(-1, D), torch.randn(N, D)

    ours = VQEMA(Config(dim=D, codebook_size=N)).train()
    theirs = VectorQuantize(D, codebook_size=N).train()
    ema_count, ema_sum = torch.ones(N), codes.clone()

    def audiovq_step() -> None:
        out = ours(z.requires_grad_())
        ours.update(out.statistics)

    def vector_quantize_pytorch_step() -> None:
        theirs(rows.requires_grad_())

    def textbook_step() -> None:
        """The usual one-hot implementation (as in many VQ-VAE repositories)."""
        x = flat.requires_grad_()
        distance = x.square().sum(1, keepdim=True) + codes.square().sum(1) - 2 * x @ codes.T
        index = distance.argmin(1)
        hot = F.one_hot(index, N).float()
        z_q = hot @ codes
        F.mse_loss(z_q.detach(), x) * 0.25
        x + (z_q - x).detach()
        with torch.no_grad():
            ema_count.mul_(0.99).add_(hot.sum(0), alpha=0.01)
            ema_sum.mul_(0.99).add_(hot.T @ x, alpha=0.01)

    @torch.no_grad()
    def plain_step() -> None:
        """The least one can do in one piece: addmm, argmin, index_add; no loss, no update."""
        scores = torch.addmm(codes.square().sum(1) / 2, flat, codes.T, alpha=-1)
        index = scores.argmin(1)
        torch.zeros(N, D).index_add_(0, index, flat)

    functions = {
        "audiovq": audiovq_step,
        "vector-quantize-pytorch (defaults)": vector_quantize_pytorch_step,
        "textbook one-hot": textbook_step,
        "addmm + argmin + index_add": plain_step,
    }
    seconds = interleaved(functions, ROUNDS)
    ratios = {k: v / seconds["audiovq"] for k, v in seconds.items()}
    peak = {m: in_subprocess(MEMORY, m) for m in ("base", "forward", "backward")}
    extra = {m: peak[m] - peak["base"] for m in ("forward", "backward")}
    table = [["quantizer step, 32,768 x 128, 1,024 codes", "ms", "times ours"]]
    table += [[k, f"{1e3 * v:.1f}", f"{ratios[k]:.2f}"] for k, v in seconds.items()]
    table.append(["memory beyond input, output and one saved tensor (MiB)", "", ""])
    table += [[f"  with {k}", f"{v:.1f}", ""] for k, v in extra.items()]
    values = {"shape": [ITEMS, D, FRAMES], "codes": N, "rounds": ROUNDS, "seconds": seconds}
    finish("quantizer", {**values, "times_ours": ratios, "extra_mib": extra}, table)


if __name__ == "__main__":
    main()
