"""What a receiver puts where codes are lost: silence, the last code again, or what a prior expects.

Whoever conceals knows only what came before, and what it put there itself.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from audiovq.autoencoder import Autoencoder
from audiovq.nn import random
from audiovq.prior._base import Prior
from audiovq.prior._sample import Choice

SIMPLE = ("silence", "repeat")
DRAWN = "prior-draw"
BY_PRIOR = ("prior-best", DRAWN)
METHODS = (*SIMPLE, *BY_PRIOR)

_SILENCE_SECONDS = 2.0
_TOGETHER = 16  # sequences a prior goes through at once, always: shapes decide rounding


def silence(model: Autoencoder) -> Int[Tensor, "K"]:
    """Return the codes that a model gives for digital silence."""
    device = next(model.parameters()).device
    x = torch.zeros(1, 1, round(_SILENCE_SECONDS * model.sample_rate), device=device)
    codes = model.encode(x, exact=True)[0].cpu()
    return codes[:, codes.shape[1] // 2]


def with_silence(
    codes: Int[Tensor, "K T"], lost: Bool[Tensor, "T"], quiet: Int[Tensor, "K"]
) -> Int[Tensor, "K T"]:
    """Return codes with those of silence where they are lost."""
    return torch.where(lost, quiet.unsqueeze(1), codes)


def with_last(
    codes: Int[Tensor, "K T"], lost: Bool[Tensor, "T"], quiet: Int[Tensor, "K"]
) -> Int[Tensor, "K T"]:
    """Return codes with the last that arrived where they are lost; silence before the first."""
    here = torch.where(lost, -1, torch.arange(codes.shape[1]))
    last = here.cummax(dim=0).values
    return torch.where(last < 0, quiet.unsqueeze(1), codes[:, last.clamp_min(0)])


@torch.no_grad()
def by_prior(
    prior: Prior,
    codes: Int[Tensor, "K T"],
    lost: Sequence[Bool[Tensor, "T"]],
    keys: Sequence[int],
    draw: Sequence[bool],
) -> list[Int[Tensor, "K T"]]:
    """Return codes with what a prior expects where they are lost, given all before.

    "Before" is the prior's own order: with a delay pattern a code of a later row is known to
    codes of earlier rows up to K - 1 frames later.

    Args:
        prior: of all rows of the codes, told nothing beside them.
        codes: as they were sent.
        lost: which frames are lost, one mask per sequence to be made.
        keys: of the draws, one per sequence.
        draw: whether to draw from the prior, or to take the most probable code; one per sequence.
    """
    found = [codes] * len(lost)
    left = [i for i, mask in enumerate(lost) if bool(mask.any())]
    for start in range(0, len(left), _TOGETHER):
        part = left[start : start + _TOGETHER]
        rows = (part * _TOGETHER)[:_TOGETHER]  # filled up with the same again
        filled = _fill(
            prior,
            codes,
            torch.stack([lost[i] for i in rows]),
            torch.tensor([keys[i] for i in rows]),
            torch.tensor([draw[i] for i in rows]),
        )
        for i, each in zip(part, filled, strict=False):
            found[i] = each
    return found


def _fill(
    prior: Prior,
    codes: Int[Tensor, "K T"],
    lost: Bool[Tensor, "B T"],
    keys: Int[Tensor, "B"],
    draw: Bool[Tensor, "B"],
) -> Int[Tensor, "B K T"]:
    frames, device = codes.shape[1], prior.device
    drawn, best = (Choice(temperature=t, top_k=None, top_p=None, guidance=1.0) for t in (1.0, 0.0))
    uniforms = random.uniform(keys, "stress.prior", codes.numel()).view(len(keys), *codes.shape)
    uniforms, lost, draw = (t.to(device) for t in (uniforms, lost, draw.unsqueeze(1)))
    known = codes.to(device).expand(len(keys), -1, -1).clone()
    steps = prior.steps(len(keys), frames)
    for group in prior.groups(frames):
        rows, times = torch.tensor(list(group), device=device).T
        logits = steps.logits()
        gone = lost[:, times]
        if bool(gone.any()):
            u = uniforms[:, rows, times]
            expected = torch.where(draw, drawn.choose(logits, u), best.choose(logits, u))
            known[:, rows, times] = torch.where(gone, expected, known[:, rows, times])
        steps.push(known[:, rows, times])
    return known.cpu()
