"""New sound from a prior and the model its codes are of."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from audiovq.autoencoder import Autoencoder
from audiovq.errors import ConfigError
from audiovq.prior._base import Condition
from audiovq.prior._release import TrainedPrior
from audiovq.prior._sample import sample


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What to generate.

    Attributes:
        number: how many.
        seconds: of each, the prompt's included.
        batch: how many at a time.
        label: speaker or other label; None: any.
        temperature: logits are divided by it; 0 takes the most probable code.
        top_k: draw from so many codes only.
        top_p: draw from the most probable codes of this share together.
        guidance: how far from the prior without label to the one with it, and beyond.
        seed: of all draws.
    """

    number: int = 1
    seconds: float = 5.0
    batch: int = 16
    label: str | None = None
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    guidance: float = 1.0
    seed: int = 0


def generate(
    trained: TrainedPrior,
    model: Autoencoder,
    wish: Wish,
    prompt: Float[Tensor, "1 1 L"] | None = None,
    *,
    progress: bool = True,
) -> Iterator[tuple[Int[Tensor, "K T"], Float[Tensor, "1 1 _"]]]:
    """Yield codes and their sound, one piece after the other.

    The same seed and `batch` give the same pieces, whatever their number, up to rounding.

    Args:
        trained: the prior.
        model: the autoencoder whose codes it was trained on.
        wish: what to draw, and how.
        prompt: speech to go on from, in whole frames; the prior hears as much of its end as its
            context holds.
        progress: show a bar on stderr.

    Raises:
        CheckpointError: the prior is of another model's codes.
        ConfigError: the wish cannot be met.
    """
    trained.check(model.fingerprint(), model.codebook_sizes, "the model")
    frames = round(wish.seconds * model.frame_rate)
    if frames < 1:
        raise ConfigError(f"--seconds {wish.seconds:g} is less than a frame of the codes")
    before, heard = _prompt(trained, model, prompt, frames)
    labels = trained.label_index([wish.label])
    if wish.label is not None and int(labels) == 0:
        known = ", ".join(trained.about.labels[:5]) or "none"
        raise ConfigError(f"no label {wish.label!r}; the prior knows: {known} ...")
    device = next(model.parameters()).device
    for first in range(0, wish.number, wish.batch):
        size = min(wish.batch, wish.number - first)
        condition = Condition(label=labels.expand(size).clone() if trained.about.labels else None)
        codes = sample(
            trained.module,
            size,
            frames - before.shape[-1] + (0 if heard is None else heard.shape[-1]),
            condition=condition,
            prompt=heard,
            temperature=wish.temperature,
            top_k=wish.top_k,
            top_p=wish.top_p,
            guidance=wish.guidance,
            seed=wish.seed + first,
            progress=progress,
        )
        skip = 0 if heard is None else heard.shape[-1]
        for row in codes[:, :, skip:]:
            whole = torch.cat([before, row.cpu()], dim=-1)
            yield whole, model.decode(whole.unsqueeze(0).to(device)).cpu()


def _prompt(
    trained: TrainedPrior, model: Autoencoder, prompt: Tensor | None, frames: int
) -> tuple[Int[Tensor, "K P"], Int[Tensor, "1 K _"] | None]:
    """Return the prompt's codes, and as much of their end as the prior hears."""
    if prompt is None:
        return torch.zeros(model.num_codebooks, 0, dtype=torch.int64), None
    whole = prompt.shape[-1] // model.hop_length * model.hop_length
    if whole == 0:
        raise ConfigError("the prompt is shorter than a frame of the codes: give more speech")
    device = next(model.parameters()).device
    codes = model.encode(prompt[..., :whole].to(device), exact=True)[0].cpu()
    if codes.shape[-1] >= frames:
        raise ConfigError(
            f"the prompt has {codes.shape[-1] / model.frame_rate:.2f} s: --seconds counts it, too, "
            f"and must be more"
        )
    context = trained.module.context
    heard = codes if context is None else codes[:, max(0, codes.shape[-1] - context) :]
    return codes, heard.unsqueeze(0) if heard.shape[-1] else None
