"""What discriminators make of reconstructions: their own loss, and which way x_hat is to go.

Both come from one look, before anything is updated. So a step that is not finite on either side
changes neither, and micro-batches and ranks add up.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from audiovq.config import Config
from audiovq.discriminators._all import Views
from audiovq.losses import adversarial
from audiovq.losses.adversarial import Form
from audiovq.losses.waveform import real_samples


class AdversarialConfig(Config):
    """What discriminators add to the plain recipe, and when."""

    loss: Form = Field("hinge", description="hinge, or least_squares")
    weight: float = Field(
        0.1, ge=0, description="weight of not being told apart; with balancer: see there"
    )
    feature_weight: float = Field(
        1.0,
        ge=0,
        description="weight of feature matching; 0: not computed; with balancer: likewise",
    )
    start: int = Field(0, ge=0, description="steps of the plain recipe before discriminators begin")
    every: int = Field(1, ge=1, description="discriminators learn in every n-th step from then on")
    balancer: bool = Field(
        False,
        description="scale both terms so that their gradients at the reconstruction are `weight` "
        "and `feature_weight` times as large as that of the reconstruction loss",
    )
    balancer_decay: float = Field(
        0.999, ge=0, lt=1, description="decay of the balancer's running means, per step"
    )

    @property
    def weights(self) -> dict[str, float]:
        """The terms that are computed, and their weights."""
        both = {"adversarial": self.weight, "feature": self.feature_weight}
        return {k: v for k, v in both.items() if v > 0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """What happens in a step.

    Attributes:
        judged: whether discriminators look at it.
        learns: whether they learn from it.
        number: times they have learned before.
    """

    judged: bool
    learns: bool
    number: int


def phase_of(config: AdversarialConfig, step: int) -> Phase:
    """Return what happens in a step, counted from 1."""
    since = step - config.start - 1
    return Phase(
        judged=since >= 0,
        learns=since >= 0 and since % config.every == 0,
        number=max(0, -(-since // config.every)),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What discriminators make of a batch; everything is its share of the step.

    Attributes:
        pull: gradient of the weighted terms with respect to x_hat, 0 past each item's end.
        rival_loss: what the discriminators minimise.
        terms: as logged, unweighted.
        squares: squared norms of each term's gradient with respect to x_hat, unweighted; only
            where scales were given.
        logits: every view's verdicts on originals and reconstructions, by name.
    """

    pull: Float[Tensor, "B 1 L"]
    rival_loss: Float[Tensor, ""]
    terms: Mapping[str, Float[Tensor, ""]]
    squares: Mapping[str, Float[Tensor, ""]]
    logits: Mapping[str, Tensor]


def judge(
    discriminators: nn.Module,
    x: Float[Tensor, "B 1 L"],
    x_hat: Float[Tensor, "B 1 L"],
    lengths: Int[Tensor, "B"],
    *,
    samples: Int[Tensor, ""],
    labels: tuple[str, ...],
    config: AdversarialConfig,
    scales: Mapping[str, Float[Tensor, ""]] | None = None,
    bf16: bool = False,
) -> Verdict:
    """Let discriminators look at a batch once.

    Args:
        discriminators: they, or what several processes have around them.
        x: originals, zero past each item's end.
        x_hat: reconstructions; what lies past an item's end is ignored.
        lengths: real samples per item.
        samples: real samples of the whole step, on all ranks.
        labels: the name of each of their views.
        config: loss and weights.
        scales: of each term, in place of the weights; None: the weights.
        bf16: compute in bfloat16 where that serves.
    """
    share, real = lengths / samples, real_samples(x_hat, lengths)
    leaf = x_hat.detach().float().where(real, 0.0).requires_grad_()
    with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
        ours, theirs = discriminators(x, leaf, lengths)
    terms = {}
    if "adversarial" in config.weights:
        terms["adversarial"] = adversarial.generator_loss(config.loss, theirs)
    if "feature" in config.weights:
        terms["feature"] = adversarial.feature_loss(ours, theirs)
    whole = {k: (v * share).sum() for k, v in terms.items()}
    pull, squares = _pull(whole, config.weights, scales, leaf, real)
    rival = (adversarial.discriminator_loss(config.loss, ours, theirs) * share).sum()
    return Verdict(
        pull=pull,
        rival_loss=rival,
        terms={
            **whole,
            "discriminator": rival,
            **_accuracies(config.loss, labels, ours, theirs, share),
        },
        squares=squares,
        logits={
            f"the verdicts of {label}": torch.cat([a.logits.values, b.logits.values])
            for label, a, b in zip(labels, ours, theirs, strict=True)
        },
    )


def _pull(
    terms: Mapping[str, Float[Tensor, ""]],
    weights: Mapping[str, float],
    scales: Mapping[str, Float[Tensor, ""]] | None,
    leaf: Float[Tensor, "B 1 L"],
    real: Bool[Tensor, "B 1 L"],
) -> tuple[Float[Tensor, "B 1 L"], dict[str, Float[Tensor, ""]]]:
    """Return the gradient at x_hat, 0 where it is not real, and its parts' squared norms if scaled.

    The discriminators' weights get none, and their loss can still get its own.
    """

    def gradient(term: Float[Tensor, ""]) -> Float[Tensor, "B 1 L"]:
        return torch.autograd.grad(term, leaf, retain_graph=True)[0].where(real, 0.0)

    if not terms:
        return torch.zeros_like(leaf), {}
    if scales is None:
        total = torch.stack([weights[k] * v for k, v in terms.items()]).sum()
        return gradient(total), {}
    each = {k: gradient(v) for k, v in terms.items()}
    pull = torch.stack([scales[k] * g for k, g in each.items()]).sum(dim=0)
    return pull, {k: g.square().sum() for k, g in each.items()}


def _accuracies(
    form: Form, labels: tuple[str, ...], ours: Views, theirs: Views, share: Float[Tensor, "B"]
) -> dict[str, Float[Tensor, ""]]:
    found = {}
    for name, views in (("original", ours), ("reconstruction", theirs)):
        each = adversarial.accuracy(form, views, original=name == "original")
        for label, accuracy in zip(labels, each, strict=True):
            found[f"accuracy/{name}/{label}"] = (accuracy * share).sum()
    return found
