"""Sampling from a WaveNet of 20 layers on one CPU thread, and scoring with it on two.

    python benchmarks/wavenet.py [--save]

Steps with fused weights beside plain cached ones (the network's own layers, a ring per layer, the
label's part of each gate computed once), full recomputation of the receptive field, and the time it
takes to read once the weights that a step uses (neither the codes' table nor the label's part): a
matrix-vector product with all of them, as rows of as many as a layer has channels; beside it, the
fastest reading there is, their sum. All are repeated, so that 8 MB of weights come from whichever
cache holds them, on a busy machine from memory. Scoring is `log_prob`, beside one forward of all.
"""

from collections import deque

import torch
from _common import finish, interleaved
from torch import Tensor
from torch.nn import functional as F

from audiovq.prior._base import Condition
from audiovq.prior._blocks import chosen
from audiovq.prior._sample import sample
from audiovq.prior.wavenet import Config, WaveNet

LAYERS, CHANNELS, CODES, STEPS, ROUNDS = 20, 128, 512, 50, 15
FRAME_RATE, SCORED = 50, (16, 500)  # Hz; utterances and frames of each


class Plain:
    """Cached steps as one would write them first."""

    def __init__(self, net: WaveNet, batch: int, label: Tensor) -> None:
        self.net = net
        self.code = net.rows.nothing.repeat(batch, 1)[:, 0]
        known = net.conditioner(Condition(label=label), 1)[:, 0]
        self.known = [F.linear(known, w) for w in net.condition_weights()]
        zero = torch.zeros(batch, net.config.channels)
        self.pasts = [deque([zero] * d) for d in net.config.dilations]

    def logits(self) -> Tensor:
        """Return the next logits."""
        net, C = self.net, self.net.config.channels
        x, skip = net.rows.table(self.code), net.skip_bias
        for gate, out, known, past in zip(net.gates, net.outs, self.known, self.pasts, strict=True):
            y = gate(torch.cat((past.popleft(), x), dim=1)) + known
            past.append(x)
            both = out(y[:, :C].tanh() * y[:, C:].sigmoid())
            x, skip = x + both[:, :C], skip + both[:, C:]
        return net.heads.linear(net.last(skip.relu()).relu())

    def push(self, code: Tensor) -> None:
        """Say the next code."""
        self.code = code[:, 0]


def build() -> WaveNet:
    torch.manual_seed(0)
    dilations = tuple(2**i for i in range(LAYERS // 2)) * 2
    config = Config(channels=CHANNELS, skip_channels=CHANNELS, dilations=dilations)
    return WaveNet(config, (CODES,), labels=10).eval()


def run(net: WaveNet, batch: int) -> dict[str, float]:
    """Seconds per step."""
    label, code = torch.ones(batch).long(), torch.zeros(batch, 1).long()
    condition = Condition(label=label)
    frames = 2 * STEPS * (ROUNDS + 2)
    fused, plain = net.steps(batch, frames, condition), Plain(net, batch, label)
    for _ in range(20):  # the two are the same network
        torch.testing.assert_close(fused.logits()[:, 0], plain.logits(), atol=1e-4, rtol=1e-4)
        fused.push(code)
        plain.push(code)

    def go(steps) -> None:
        for _ in range(STEPS):
            steps.logits()
            steps.push(code)

    unread = net.rows.table.weight.numel() + net.conditions.weight.numel()
    unread += net.conditioner.label.weight.numel()
    weights = sum(p.numel() for p in net.parameters()) - unread
    matrix, vector = torch.randn(weights // CHANNELS, CHANNELS), torch.randn(CHANNELS)
    functions = {
        "fused steps": lambda: go(fused),
        "plain cached steps": lambda: go(plain),
        "sample(): steps and draws": lambda: sample(net, batch, STEPS, condition=condition),
        "reading the weights": lambda: [matrix.mv(vector) for _ in range(STEPS)],
        "reading the weights, their sum": lambda: [matrix.sum() for _ in range(STEPS)],
    }
    return {k: v / STEPS for k, v in interleaved(functions, ROUNDS).items()}


def recomputed(net: WaveNet) -> float:
    """Seconds per code, batch 1, by running the network over the whole receptive field."""
    codes = torch.zeros(1, 1, net.context).long()
    return interleaved({"full": lambda: net(codes)}, 2)["full"]


def scoring(net: WaveNet, threads: int) -> dict[str, float]:
    """Seconds of speech per second."""
    codes = torch.randint(CODES, (SCORED[0], 1, SCORED[1]))
    functions = {
        "log_prob": lambda: net.log_prob(codes),
        "one forward": lambda: chosen(net(codes), codes, None),
    }
    torch.set_num_threads(threads)
    seconds = interleaved(functions, 3)
    torch.set_num_threads(1)
    return {k: codes.numel() / FRAME_RATE / v for k, v in seconds.items()}


@torch.no_grad()
def main() -> None:
    torch.set_num_threads(1)
    net = build()
    found = {batch: run(net, batch) for batch in (1, 16)}
    full = recomputed(net)
    scored = {threads: scoring(net, threads) for threads in (1, 2)}
    table = [["20 layers x 128, 512 codes", "codes/s, batch 1", "codes/s, batch 16"]]
    table += [
        [n, f"{1 / found[1][n]:.0f}", "" if "reading" in n else f"{16 / found[16][n]:.0f}"]
        for n in found[1]
    ]
    table.append(["full recomputation", f"{1 / full:.1f}", ""])
    ratios = {
        f"plain / fused, batch {b}": t["plain cached steps"] / t["fused steps"]
        for b, t in found.items()
    }
    for name in ("reading the weights", "reading the weights, their sum"):
        ratios[f"fused / {name}, batch 1"] = found[1]["fused steps"] / found[1][name]
    table += [[n, f"{r:.2f}", ""] for n, r in ratios.items()]
    for threads, speeds in scored.items():
        many = f"{threads} thread{'s' * (threads > 1)}"
        for name, speed in speeds.items():
            table.append([f"scoring, {name}, {many}", f"{speed:.0f} x real time at 50 Hz", ""])
    values = {"seconds_per_step": found, "full_seconds": full, "ratios": ratios}
    finish("wavenet", {**values, "scoring_times_real_time": scored}, table)


if __name__ == "__main__":
    main()
