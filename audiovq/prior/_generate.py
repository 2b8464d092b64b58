"""New sound from a prior, or several in turn, and the model their codes are of."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from audiovq.autoencoder import Autoencoder
from audiovq.errors import ConfigError
from audiovq.prior._base import Condition
from audiovq.prior._release import TrainedPrior
from audiovq.prior._sample import Choice, sample
from audiovq.prior._stages import check_stages

LONGEST = 86_400.0  # seconds of a piece


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
        guidance: how far from the prior that is told nothing to the one that is told label, other
            codes and features, and beyond.
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
    trained: TrainedPrior | Sequence[TrainedPrior],
    model: Autoencoder,
    wish: Wish,
    prompt: Float[Tensor, "1 1 L"] | None = None,
    *,
    given: Sequence[Condition] = (),
    progress: bool = True,
) -> Iterator[tuple[Int[Tensor, "K T"], Float[Tensor, "1 1 _"]]]:
    """Return codes and sound of one piece after the other, drawn when they are asked for.

    The same seed and `batch` give the same pieces, whatever their number, up to rounding.

    Args:
        trained: the prior; or several, each of some rows of the codes, in an order in which each
            is given rows of those before it.
        model: the autoencoder whose codes they were trained on.
        wish: what to draw, and how.
        prompt: speech to go on from, in whole frames; a prior hears as much of its end as its
            context holds, of which nothing older could matter.
        given: of each prior, codes and features of another source that it is told, of one item, at
            its own rate; none: no prior is told any.
        progress: show a bar on stderr.

    Raises:
        CheckpointError: a prior is of another model's codes.
        ConfigError: the wish cannot be met; nothing has been drawn then.
    """
    Choice(**_choice(wish), guidance=wish.guidance)  # which says what is wrong with them
    priors = [trained] if isinstance(trained, TrainedPrior) else list(trained)
    if not model.is_discrete:
        raise ConfigError("the model is continuous and has no codes that a prior could be of")
    check_stages(priors, model.fingerprint(), model.codebook_sizes, model.layout)
    if not wish.seconds <= LONGEST:  # NaN is not, either
        raise ConfigError(f"--seconds {wish.seconds:g}: up to {LONGEST:g}, a day, is accepted")
    frames = round(wish.seconds * model.frame_rate)
    if frames < 1:
        raise ConfigError(
            f"--seconds {wish.seconds:g} is less than a frame of the codes, "
            f"{1 / model.frame_rate:g} s"
        )
    before = encode_prompt(model, prompt)
    if before.shape[-1] >= frames:
        raise ConfigError(
            f"the prompt has {before.shape[-1] / model.frame_rate:.2f} s: --seconds counts it, "
            f"too, and must be more"
        )
    tell = [
        partial(condition_of_drawn, prior, label=label, given=more)
        for prior, label, more in zip(
            priors, _labels(priors, wish), given or [Condition()] * len(priors), strict=True
        )
    ]
    codes = torch.zeros(1, model.num_codebooks, frames, dtype=torch.int64)
    codes[..., : before.shape[-1]] = before
    known = [told(codes) for told in tell]  # which refuses what none could be told
    if wish.guidance != 1.0 and not any(map(_tells, known)):
        raise ConfigError(
            f"--guidance {wish.guidance:g} needs something to be guided by: --label, of a prior "
            f"that knows labels, or a prior that is given other codes or features"
        )
    return _pieces(priors, tell, model, wish, begun=(codes, before.shape[-1]), progress=progress)


def _pieces(
    priors: Sequence[TrainedPrior],
    tell: Sequence[Callable[[Tensor], Condition]],
    model: Autoencoder,
    wish: Wish,
    *,
    begun: tuple[Int[Tensor, "1 K T"], int],
    progress: bool,
) -> Iterator[tuple[Int[Tensor, "K T"], Float[Tensor, "1 1 _"]]]:
    """Yield what a wish that can be met asks for; `begun`: codes that start with so many given."""
    device, (start, prompt) = next(model.parameters()).device, begun
    for first in range(0, wish.number, wish.batch):
        codes = start.repeat(min(wish.batch, wish.number - first), 1, 1)
        for stage, (prior, told) in enumerate(zip(priors, tell, strict=True)):
            known = told(codes)
            codes = _draw(
                prior, codes, prompt, known, wish,
                guidance=wish.guidance if _tells(known) else 1.0,
                seed=_seed(wish.seed, first, stage), progress=progress,
            )  # fmt: skip
        for whole in codes:
            yield whole, model.decode(whole.unsqueeze(0).to(device)).cpu()


def encode_prompt(model: Autoencoder, prompt: Float[Tensor, "1 1 L"] | None) -> Int[Tensor, "K P"]:
    """Return the codes of a prompt's whole frames; none of no prompt.

    Raises:
        ConfigError: it has less than a frame.
    """
    if prompt is None:
        return torch.zeros(model.num_codebooks, 0, dtype=torch.int64)
    whole = prompt.shape[-1] // model.hop_length * model.hop_length
    if whole == 0:
        raise ConfigError(
            f"the prompt, of {prompt.shape[-1]} samples, is shorter than a frame of the codes, "
            f"{model.hop_length}: give more speech, or leave it out"
        )
    device = next(model.parameters()).device
    return model.encode(prompt[..., :whole].to(device), exact=True)[0].cpu()


def hears(trained: TrainedPrior) -> float | None:
    """Return how much of a prompt's end a prior hears (s); None: all of it."""
    context = trained.module.context
    return None if context is None else context / trained.about.codes.frame_rate


def _labels(priors: Sequence[TrainedPrior], wish: Wish) -> list[Int[Tensor, "1"]]:
    """Return the number that the label has in each prior."""
    found = [prior.label_index([wish.label]) for prior in priors]
    if wish.label is not None and not any(int(label) for label in found):
        names = sorted({name for prior in priors for name in prior.about.labels})
        known = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
        raise ConfigError(
            f"no label {wish.label!r}; the prior knows: {known}"
            if names
            else f"--label {wish.label}: the prior was trained without labels; leave it out"
        )
    return found


def condition_of_drawn(
    trained: TrainedPrior, codes: Int[Tensor, "B K T"], label: Int[Tensor, "1"], given: Condition
) -> Condition:
    """Return what a prior is told of every frame, by rows drawn before and by other sources."""
    part, B = trained.about.part, len(codes)
    frames = codes.shape[-1] * (1 if part is None else part.ratio)
    rows = []
    if part is not None and part.given_sizes:
        rows.append(part.given_of(codes))
    if given.codes is not None:
        rows.append(_first(given.codes, frames, trained).expand(B, -1, -1))
    features = None
    if given.features is not None:
        features = _first(given.features, frames, trained).expand(B, -1, -1)
    return Condition(
        label=label.expand(B).clone() if trained.about.labels else None,
        codes=torch.cat(rows, dim=1) if rows else None,
        features=features,
    )


def _tells(condition: Condition) -> bool:
    """Whether there is something in it that guidance can exaggerate."""
    told = condition.codes is not None or condition.features is not None
    return told or (condition.label is not None and bool(condition.label.any()))


def _seed(*parts: int) -> int:
    """Return a seed in [0, 2^63); a sum would make piece 16 of seed 0 piece 0 of seed 16."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


def _choice(wish: Wish) -> dict[str, Any]:
    return {"temperature": wish.temperature, "top_k": wish.top_k, "top_p": wish.top_p}


def _first(values: Tensor, frames: int, trained: TrainedPrior) -> Tensor:
    part = trained.about.part
    if values.shape[-1] + (1 if part is None else part.ratio) <= frames:
        rate = trained.about.codes.frame_rate
        raise ConfigError(
            f"{frames / rate:.2f} s are asked for, and what the prior is given has "
            f"{values.shape[-1] / rate:.2f} s: ask for less"
        )
    return values[..., torch.arange(frames).clamp_max(values.shape[-1] - 1)]


def _draw(
    trained: TrainedPrior,
    codes: Int[Tensor, "B K T"],
    prompt: int,
    condition: Condition,
    wish: Wish,
    *,
    guidance: float,
    seed: int,
    progress: bool,
) -> Int[Tensor, "B K T"]:
    """Return the codes with a prior's rows drawn, after so many frames of a prompt."""
    part, context = trained.about.part, trained.module.context
    mine = codes if part is None else part.modelled(codes)
    begun = prompt * (1 if part is None else part.ratio)
    unheard = 0 if context is None else max(0, begun - context)
    heard = mine[..., unheard:begun]
    frames = mine.shape[-1]
    found = sample(
        trained.module,
        len(codes),
        frames - unheard,
        condition=condition.part(slice(None), frames, unheard, frames),
        prompt=heard if heard.shape[-1] else None,
        guidance=guidance,
        seed=seed,
        progress=progress,
        **_choice(wish),
    )
    drawn = torch.cat([mine[..., :unheard], found.cpu()], dim=-1)
    return drawn if part is None else part.put(drawn, codes)
