"""The drill: the encoder jumps far away from its codebook, and training goes on."""

import pytest
import torch
from torch import nn

from audiovq.bottlenecks._base import Context
from audiovq.bottlenecks.rvq import RVQ
from audiovq.bottlenecks.rvq import Config as RVQConfig
from audiovq.bottlenecks.vq_ema import VQEMA, Config
from audiovq.config import parse
from audiovq.train.checks._base import Severity
from audiovq.train.doctor import diagnose

N, D, ITEMS, FRAMES, JUMP, STEPS, WINDOW = 256, 8, 12, 50, 20, 320, 10


def frames(step):
    """Frames of a batch of 12 s at 50 Hz; from step 20 on they lie somewhere else."""
    generator = torch.Generator().manual_seed(step)
    z = torch.randn(ITEMS, D, FRAMES, generator=generator)
    return z if step < JUMP else 3.0 * z + 40.0


class EncodecStyle(nn.Module):
    """The update order of encodec's and audiocraft's core_vq.py, restated in a few lines.

    A code expires when its running count falls below 2 and is replaced by a frame of the batch;
    but only `embed` is written, and three lines later `embed` is computed anew from the running
    sums, which still hold the old vector.
    """

    def __init__(self, start):
        super().__init__()
        self.embed, self.average = start.clone(), start.clone()
        self.count = torch.ones(N)

    def step(self, rows, seed):
        codes = torch.cdist(rows, self.embed).argmin(1)
        expired = self.count < 2.0
        generator = torch.Generator().manual_seed(seed)
        drawn = rows[torch.randint(0, len(rows), (N,), generator=generator)]
        self.embed = torch.where(expired.unsqueeze(1), drawn, self.embed)
        hot = nn.functional.one_hot(codes, N).to(rows.dtype)
        self.count = 0.99 * self.count + 0.01 * hot.sum(0)
        self.average = 0.99 * self.average + 0.01 * hot.T @ rows
        total = self.count.sum()
        smoothed = (self.count + 1e-5) / (total + N * 1e-5) * total
        self.embed = self.average / smoothed.unsqueeze(1)
        return len(codes.unique()) / N


def drill(module):
    """Train through the jump; returns the log that the training loop would write."""
    module.train()
    module.initialise(torch.cat([frames(s) for s in range(2)]))
    log, window = [], None
    for step in range(STEPS):
        out = module(frames(step), Context(keys=torch.arange(ITEMS) + ITEMS * step))
        module.update(out.statistics)
        window = out.statistics if window is None else window + out.statistics
        if (step + 1) % WINDOW == 0:
            described = module.describe(window)
            log.append({"step": step + 1, **{f"train/{k}": v for k, v in described.items()}})
            window = None
    return log


def test_a_collapsed_codebook_recovers_within_300_steps_and_doctor_says_so():
    log = drill(VQEMA(parse(Config, {"dim": D, "codebook_size": N})))
    worst = min(e["train/usage"] for e in log)
    assert worst < 0.05
    assert log[-1]["train/usage"] > 0.5
    assert log[-1]["train/relative_error"] < 0.5
    assert log[-1]["train/revived_codes"] > N / 2
    config = {"model": {"bottleneck": {"codebook_size": N, "decay": 0.99}}}
    found = {f.title: f for f in diagnose(log, config)}
    assert found["the codebook collapsed and recovered"].severity is Severity.ok
    early = {f.title: f for f in diagnose([e for e in log if e["step"] <= 60], config)}
    assert "the codebook has collapsed" in early


def test_the_same_drill_with_encodecs_restart_does_not_recover():
    start = VQEMA(parse(Config, {"dim": D, "codebook_size": N}))
    start.initialise(torch.cat([frames(s) for s in range(2)]))
    theirs = EncodecStyle(start.codebook.vectors)
    usage = [
        theirs.step(frames(step).transpose(1, 2).reshape(-1, D), step) for step in range(STEPS)
    ]
    assert usage[JUMP - 1] > 0.5
    assert max(usage[-50:]) < 0.05


def test_without_revival_it_does_not_recover_either():
    module = VQEMA(parse(Config, {"dim": D, "codebook_size": N, "revive_threshold": 0.0}))
    assert drill(module)[-1]["train/usage"] < 0.05


@pytest.mark.parametrize("row", [0, 1, 2])
def test_every_codebook_of_a_residual_quantizer_recovers(row):
    values = {"dim": D, "codebook_size": N, "num_codebooks": 3}
    log = drill(RVQ(parse(RVQConfig, values)))
    assert log[-1][f"train/usage/{row}"] > 0.5
