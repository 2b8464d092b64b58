"""Draw code sequences from any prior, group by group, with cached state."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from audiovq.errors import ConfigError, NonFiniteError
from audiovq.nn import random
from audiovq.prior._base import Condition, Place, Prior
from audiovq.prior._condition import NOTHING


def sample(
    prior: Prior,
    batch: int,
    frames: int,
    *,
    condition: Condition = NOTHING,
    prompt: Int[Tensor, "_ K P"] | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    guidance: float = 1.0,
    seed: int = 0,
    progress: bool = False,
) -> Int[Tensor, "B K T"]:
    """Draw codes; each draw is a pure function of (seed, item, row, frame) and its probabilities.

    Item i is the same whatever the batch holds beside it, and however many frames follow, up to
    rounding of the probabilities (1e-7), which rarely meets a draw.

    Args:
        prior: what to draw from; dropout is off whatever its mode.
        batch: sequences to draw.
        frames: frames of each, the prompt's included.
        condition: what is known beside the codes; one entry per sequence.
        prompt: what the sequences begin with, one for all or one each; at least 1 frame, at most
            `frames`, and at most the prior's context, beyond which it would not be heard.
        temperature: logits are divided by it; 0 takes the most probable code.
        top_k: draw from so many codes only, the most probable; ties with the last stay in.
        top_p: draw from the most probable codes that have this share together, in (0, 1].
        guidance: logits go this many times as far from those without label, other codes and
            features to those with them; 1 changes nothing, 0 ignores all of them.
        seed: in [0, 2^63).
        progress: whether to show a progress bar on stderr.

    Raises:
        ConfigError: a value is not accepted, or prompt or label does not fit the prior.
        NonFiniteError: the prior gives NaN.
    """
    chosen = Choice(temperature=temperature, top_k=top_k, top_p=top_p, guidance=guidance)
    _check_size(batch, frames, seed)
    _check_condition(prior, batch, condition, guidance)
    given = _prompt(prior, batch, frames, prompt).to(prior.device)
    condition = condition.to(prior.device)
    with torch.no_grad():
        return _draw_all(
            prior, given, frames, condition, chosen=chosen, seed=seed, progress=progress
        )


@dataclass(frozen=True, kw_only=True)
class Choice:
    """How a code is chosen from logits; the fields are arguments of `sample`.

    Raises:
        ConfigError: a value is not accepted.
    """

    temperature: float
    top_k: int | None
    top_p: float | None
    guidance: float

    def __post_init__(self) -> None:
        for name, value in (("temperature", self.temperature), ("guidance", self.guidance)):
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"{name}={value}: a number of at least 0 is accepted")
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"top_k={self.top_k}: at least 1 is accepted; None keeps all codes")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p={self.top_p}: above 0 and at most 1 is accepted")

    def choose(self, logits: Float[Tensor, "B G N"], u: Float[Tensor, "B G"]) -> Tensor:
        """Return one code per row of logits, given a uniform draw each."""
        if self.temperature == 0:
            best, code = logits.max(dim=-1)
            return torch.where(best.isnan(), logits.shape[-1], code)  # as below: past the last
        if self.temperature != 1:  # the largest becomes 0, so that no small temperature overflows
            logits = (logits - logits.amax(dim=-1, keepdim=True)).double() / self.temperature
        if self.top_k is not None and self.top_k < logits.shape[-1]:
            least = logits.topk(self.top_k, dim=-1).values[..., -1:]
            logits = logits.masked_fill(logits < least, -torch.inf)
        probability = logits.softmax(dim=-1, dtype=torch.float64)
        if self.top_p is not None and self.top_p < 1:
            probability = _nucleus(probability, self.top_p)
        cdf = probability.cumsum(dim=-1)
        mark = u.unsqueeze(-1) * cdf[..., -1:]  # below the last: never a code of probability 0
        return torch.searchsorted(cdf, mark, right=True).squeeze(-1)


def _nucleus(probability: Float[Tensor, "B G N"], share: float) -> Float[Tensor, "B G N"]:
    """Keep the most probable codes up to the one that completes the share."""
    ranked, places = probability.sort(dim=-1, descending=True, stable=True)
    before = ranked.cumsum(dim=-1) - ranked
    kept = torch.where(before < share, ranked, 0.0)
    return torch.zeros_like(probability).scatter(-1, places, kept)


def _draw_all(
    prior: Prior,
    prompt: Int[Tensor, "B K P"],
    frames: int,
    condition: Condition,
    *,
    chosen: Choice,
    seed: int,
    progress: bool,
) -> Int[Tensor, "B K T"]:
    B, K, P = prompt.shape
    guided = chosen.guidance != 1.0
    if guided:
        condition = _with_and_without(condition, B, prompt.device)
    steps = prior.steps(2 * B if guided else B, frames, condition)
    groups = list(prior.groups(frames))
    rows, times = torch.tensor(list(chain(*groups)), device=prompt.device).T
    uniforms = _uniforms(seed, B, K * frames, prompt.device)[:, times * K + rows]
    known = torch.zeros(B, K, frames, dtype=torch.int64, device=prompt.device)
    known[..., :P] = prompt
    drawn = known[:, rows, times]  # in the order of drawing
    for group, start in tqdm(_starts(groups), total=len(groups), disable=not progress):
        part = slice(start, start + len(group))
        logits = _guide(steps.logits(), chosen.guidance) if guided else steps.logits()
        if any(t >= P for _, t in group):
            found = chosen.choose(logits, uniforms[:, part])
            if any(t < P for _, t in group):
                found = torch.where(times[part] < P, drawn[:, part], found)
            drawn[:, part] = found
        codes = drawn[:, part]
        steps.push(torch.cat((codes, codes)) if guided else codes)
    known[:, rows, times] = drawn
    _check_drawn(prior, known, chosen.guidance)
    return known


def _check_drawn(prior: Prior, codes: Int[Tensor, "B K T"], guidance: float) -> None:
    """Refuse what NaN logits lead to: codes past the last; looked at once, not at every step."""
    if bool((codes >= torch.tensor(prior.codebook_sizes, device=codes.device).view(-1, 1)).any()):
        large = "" if guidance == 1.0 else f", or guidance={guidance:g} is too large for them"
        raise NonFiniteError(f"the prior's logits are not finite: its weights are damaged{large}")


def _starts(groups: list[Sequence[Place]]) -> Iterator[tuple[Sequence[Place], int]]:
    """Yield each group and how many codes are before it."""
    start = 0
    for group in groups:
        yield group, start
        start += len(group)


def _uniforms(seed: int, batch: int, size: int, device: torch.device) -> Float[Tensor, "B size"]:
    items = random.bits(torch.tensor([seed], device=device), "sample.items", batch)[0]
    return random.uniform(items, "sample", size)


def _guide(logits: Float[Tensor, "B2 G N"], guidance: float) -> Float[Tensor, "B G N"]:
    told, untold = logits.chunk(2)
    found = untold + guidance * (told - untold)
    return torch.where(told == -torch.inf, -torch.inf, found)  # inf - inf is not a number


def _with_and_without(condition: Condition, batch: int, device: torch.device) -> Condition:
    twice = condition.map(lambda value: torch.cat((value, value)))
    label = condition.label
    return replace(
        twice,
        label=None if label is None else torch.cat((label, torch.zeros_like(label))),
        hidden=torch.arange(2 * batch, device=device) >= batch,
    )


def _check_size(batch: int, frames: int, seed: int) -> None:
    if batch < 1 or frames < 1:
        raise ConfigError(f"{batch} sequences of {frames} frames: at least 1 of 1 is needed")
    if not 0 <= seed < 1 << 63:
        raise ConfigError(f"seed={seed}: an integer from 0 to 2^63 - 1 is accepted")


def _check_condition(prior: Prior, batch: int, condition: Condition, guidance: float) -> None:
    for field in fields(condition):
        value = getattr(condition, field.name)
        if value is not None and len(value) != batch:
            raise ConfigError(f"condition.{field.name} is of {len(value)} items, not of {batch}")
    label = condition.label
    labelled = label is not None and prior.labels > 0 and bool(label.any())
    told = labelled or condition.codes is not None or condition.features is not None
    if guidance != 1.0 and not told:
        raise ConfigError(
            f"guidance={guidance} needs a label, and a prior that knows labels, or one that is "
            f"given other codes or features"
        )
    if label is not None and not bool(((label >= 0) & (label <= prior.labels)).all()):
        raise ConfigError(
            f"labels {int(label.min())} to {int(label.max())} are given; this prior knows 0 (none) "
            f"to {prior.labels}"
        )


def _prompt(
    prior: Prior, batch: int, frames: int, prompt: Int[Tensor, "_ K P"] | None
) -> Int[Tensor, "B K P"]:
    """Return the prompt of each sequence, of no frames if there is none."""
    if prompt is None:
        return torch.zeros(batch, prior.num_codebooks, 0, dtype=torch.int64)
    items, rows, length = prompt.shape
    if items not in (1, batch) or rows != prior.num_codebooks:
        raise ConfigError(
            f"the prompt is of {items} items of {rows} rows of codes; 1 or {batch} items of "
            f"{prior.num_codebooks} are accepted"
        )
    _check_length(prior, frames, length)
    sizes = torch.tensor(prior.codebook_sizes, device=prompt.device).view(1, -1, 1)
    wrong = (prompt < 0) | (prompt >= sizes)
    if bool(wrong.any()):
        _, k, t = wrong.nonzero()[0].tolist()
        raise ConfigError(
            f"the prompt has code {int(prompt[wrong][0])} in row {k} at frame {t}; "
            f"0 to {prior.codebook_sizes[k] - 1} are accepted there"
        )
    return prompt.expand(batch, -1, -1)


def _check_length(prior: Prior, frames: int, length: int) -> None:
    if length < 1:
        raise ConfigError("the prompt has no frames; leave it out to begin from nothing")
    if length > frames:
        raise ConfigError(
            f"the prompt has {length} frames, more than the {frames} frames asked for; `frames` "
            f"counts the prompt's"
        )
    if prior.context is not None and length > prior.context:
        raise ConfigError(
            f"the prompt has {length} frames, but this prior hears no more than the last "
            f"{prior.context}: give those, prompt[..., -{prior.context}:]"
        )
