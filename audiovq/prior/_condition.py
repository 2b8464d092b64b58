"""What priors are told beside the codes: a label, other codes, features."""

from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from audiovq.config import ComponentConfig
from audiovq.errors import ConfigError
from audiovq.nn import random
from audiovq.prior._base import Condition

NOTHING = Condition()


class ConditionConfig(ComponentConfig):
    """What every prior has that can be told something beside the codes."""

    condition_codes: tuple[Annotated[int, Field(ge=1, le=1 << 24)], ...] = Field(
        (), max_length=64, description="codebook sizes of another code sequence to be given; or []"
    )
    condition_features: int = Field(
        0, ge=0, le=1 << 16, description="values per frame to be given; 0: none"
    )
    label_dropout: float = Field(
        0.1, ge=0, lt=1, description="how often training hides an item's label, for guidance"
    )
    condition_dropout: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="how often training hides an item's other codes and features, and its label "
        "with them, for guidance",
    )


class Conditioner(nn.Module):
    """Adds up what is known of each frame: label, other codes and features, as vectors.

    Args:
        config: what may be given.
        labels: how many labels there are beside 0.
        channels: of the vectors.
    """

    def __init__(self, config: ConditionConfig, labels: int, channels: int) -> None:
        super().__init__()
        self.config = config
        self.labels = labels
        self.channels = channels
        self.local = bool(config.condition_codes) or config.condition_features > 0
        if labels:
            self.label = nn.Embedding(labels + 1, channels, padding_idx=0)
        if config.condition_codes:
            self.codes = nn.ModuleList(nn.Embedding(n, channels) for n in config.condition_codes)
        if config.condition_features:
            self.features = nn.Linear(config.condition_features, channels)

    def forward(
        self,
        condition: Condition,
        frames: int,
        inside: Bool[Tensor, "B T"] | None = None,
        *,
        more: int = 0,
    ) -> Float[Tensor, "_ S H"] | None:
        """Return one vector per frame, or one for all; None if nothing is known.

        Args:
            condition: what is given.
            frames: T.
            inside: which frames are before their item's end; elsewhere nothing but the label is
                known.
            more: frames after the T of which nothing but the label is known.
        """
        self._check(condition, frames)
        parts, hidden = [], self._hidden(condition)
        if self.local:
            known = self._frames(condition, frames, inside)
            if hidden is not None:
                known = torch.where(hidden.view(-1, 1, 1), 0.0, known)
            parts.append(F.pad(known, (0, 0, 0, more)))
        if self.labels and condition.label is not None:
            label = condition.label if hidden is None else torch.where(hidden, 0, condition.label)
            parts.append(self._label(label, keys_of(condition, label)))
        return sum(parts[1:], parts[0]) if parts else None

    def _hidden(self, condition: Condition) -> Bool[Tensor, "B"] | None:
        """Return of which items nothing is known, as given or as drawn; None: of no item."""
        if not (self.training and self.local and self.config.condition_dropout > 0):
            return condition.hidden
        like = condition.codes if condition.codes is not None else condition.features
        assert like is not None
        drawn = random.uniform(keys_of(condition, like), "prior.condition", 1)[:, 0]
        found = drawn < self.config.condition_dropout
        return found if condition.hidden is None else found | condition.hidden

    def _label(self, label: Int[Tensor, "B"], keys: Int[Tensor, "B"]) -> Float[Tensor, "B 1 H"]:
        if self.training and self.config.label_dropout > 0:
            drawn = random.uniform(keys, "prior.label", 1)[:, 0]
            label = torch.where(drawn < self.config.label_dropout, 0, label)
        # Label 0 is silent whatever the table says, so that it cannot differ from no label.
        return (self.label(label) * (label > 0).unsqueeze(1)).unsqueeze(1)  # type: ignore[no-any-return]

    def _frames(
        self, condition: Condition, frames: int, inside: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B T H"]:
        parts = []
        if condition.codes is not None and self.config.condition_codes:
            last = torch.tensor(self.config.condition_codes, device=condition.codes.device) - 1
            known = condition.codes.clamp_min(0).minimum(last.view(1, -1, 1))  # padding is anything
            slow = sum(table(known[:, k]) for k, table in enumerate(self.codes))
            every = -(-frames // known.shape[2])  # frames per code of the other sequence
            parts.append(slow[:, torch.arange(frames, device=slow.device) // every])
        if condition.features is not None and self.config.condition_features:
            parts.append(self.features(condition.features.transpose(1, 2)))
        found: Tensor = sum(parts[1:], parts[0])
        return found if inside is None else torch.where(inside.unsqueeze(2), found, 0.0)

    def _check(self, condition: Condition, frames: int) -> None:
        """Refuse a condition that does not fit, without looking into tensors where it fits."""
        label, codes, features = condition.label, condition.codes, condition.features
        if label is not None and not self.labels and bool(label.any()):
            raise ConfigError("this prior knows no labels; leave condition.label out")
        rows = 0 if codes is None else codes.shape[1]
        if rows != len(self.config.condition_codes):
            raise ConfigError(
                f"condition.codes has {rows} rows; this prior is given "
                f"{len(self.config.condition_codes)} (condition_codes)"
            )
        width = 0 if features is None else features.shape[1]
        if width != self.config.condition_features:
            raise ConfigError(
                f"condition.features has {width} values per frame; this prior is given "
                f"{self.config.condition_features} (condition_features)"
            )
        condition.check(frames)


def keys_of(condition: Condition, like: Tensor) -> Int[Tensor, "B"]:
    """Return one key per item: the condition's, or the item's number where it has none."""
    if condition.keys is not None:
        return condition.keys
    return torch.arange(len(like), device=like.device)


def at_rest(
    conditioner: Conditioner, condition: Condition, frames: int, *, more: int = 0
) -> Float[Tensor, "_ S H"] | None:
    """Return what a conditioner makes of a condition out of training, whatever its mode."""
    training = conditioner.training
    try:
        return conditioner.eval()(condition, frames, more=more)  # type: ignore[no-any-return]
    finally:
        conditioner.train(training)
