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
BY_PRIOR = ("prior-best", "prior-draw")
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
    *,
    draw: bool,
) -> list[Int[Tensor, "K T"]]:
    """Return codes with what a prior expects where they are lost, given all before.

    "Before" is the prior's own order: with a delay pattern a code of a later row is known to
    codes of earlier rows up to K - 1 frames later.

    Args:
        prior: of all rows of the codes, told nothing beside them.
        codes: as they were sent.
        lost: which frames are lost, one mask per sequence to be made.
        keys: of the draws, one per sequence.
        draw: draw from the prior; otherwise the most probable code is taken.
    """
    found: list[Int[Tensor, "K T"]] = []
    for start in range(0, len(lost), _TOGETHER):
        part = slice(start, start + _TOGETHER)
        masks = torch.stack(list(lost[part]))
        number = len(masks)
        masks = torch.nn.functional.pad(masks, (0, 0, 0, _TOGETHER - number))
        each = torch.tensor([*keys[part], *[0] * (_TOGETHER - number)])
        found += list(_fill(prior, codes, masks, each, draw=draw)[:number])
    return found


def _fill(
    prior: Prior,
    codes: Int[Tensor, "K T"],
    lost: Bool[Tensor, "B T"],
    keys: Int[Tensor, "B"],
    *,
    draw: bool,
) -> Int[Tensor, "B K T"]:
    frames, device = codes.shape[1], prior.device
    choice = Choice(temperature=1.0 if draw else 0.0, top_k=None, top_p=None, guidance=1.0)
    uniforms = random.uniform(keys, "stress.prior", codes.numel()).view(len(keys), *codes.shape)
    uniforms, lost = uniforms.to(device), lost.to(device)
    known = codes.to(device).expand(len(keys), -1, -1).clone()
    steps = prior.steps(len(keys), frames)
    for group in prior.groups(frames):
        rows, times = torch.tensor(list(group), device=device).T
        logits = steps.logits()
        gone = lost[:, times]
        if bool(gone.any()):
            expected = choice.choose(logits, uniforms[:, rows, times])
            known[:, rows, times] = torch.where(gone, expected, known[:, rows, times])
        steps.push(known[:, rows, times])
    return known.cpu()
