"""Who speaks, as every decoder that is told takes it: a table of vectors, and scales by one."""

from collections import Counter
from collections.abc import Iterable
from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import Field, field_validator
from torch import Tensor, nn

from audiovq.bottlenecks._base import Context
from audiovq.config import ComponentConfig
from audiovq.decoders._speaker_reference import ReferenceConfig, ReferenceEncoder
from audiovq.nn import random

MAX_SPEAKERS = 10_000  # their names are part of the config: this many fit `MAX_CONFIG_BYTES`
MAX_NAME = 128  # characters; Common Voice's speaker ids, the longest in use, have 128

SpeakerName = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]


class SpeakerConfig(ComponentConfig):
    """What every speaker-conditioned decoder has: settings of its table of speakers."""

    speakers: tuple[SpeakerName, ...] = Field(
        (),
        max_length=MAX_SPEAKERS,
        description="names in the order of the table's rows from 1; empty: the training speakers",
    )
    speaker_dim: int = Field(64, ge=1, le=1024, description="values that describe a speaker")
    unknown: float = Field(
        0.1, ge=0, le=1, description="share of training segments whose speaker is hidden"
    )
    reference: ReferenceConfig | None = Field(
        None, description="a network that hears who speaks from a recording; null: none"
    )

    @field_validator("speakers")
    @classmethod
    def _differ(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        twice = [name for name, n in Counter(names).items() if n > 1]
        if twice:
            raise ValueError(f"{twice[0]!r} stands there twice; every speaker has one row")
        return names


class SpeakerTable(nn.Embedding):
    """A vector for each speaker. Row 0 stands for anyone.

    Anyone is a held-out speaker, `Context.condition=None`, and, to keep the row trained, the
    speaker of a share `unknown` of the training segments.

    With a reference encoder a vector may come from a recording instead: at use that of
    `Autoencoder.voice`, as the condition; in training, for a share of the segments, that of
    `Context.reference`.
    """

    def __init__(self, config: SpeakerConfig) -> None:
        super().__init__(1 + len(config.speakers), config.speaker_dim)
        self.unknown = config.unknown
        nn.init.normal_(self.weight, std=config.speaker_dim**-0.5)  # rows of length 1
        self.reference = (
            ReferenceEncoder(config.reference, config.speaker_dim) if config.reference else None
        )

    def voices(self, z: Float[Tensor, "B _ T"], context: Context) -> Float[Tensor, "B D"]:
        """Return the vector of who speaks in each item."""
        given = context.condition
        if given is not None and given.is_floating_point():
            return given.to(self.weight.dtype)
        found: Tensor = self(self.rows(z, context))
        if self.reference is None or context.reference is None or context.keys is None:
            return found
        drawn = random.uniform(context.keys, "reference voice", 1) < self.reference.share
        return torch.where(drawn, self.reference(context.reference), found)

    def rows(self, z: Float[Tensor, "B _ T"], context: Context) -> Int[Tensor, "B"]:
        """Return each item's row of the table; in training some are hidden, by their keys."""
        if context.condition is None:
            return torch.zeros(len(z), dtype=torch.int64, device=z.device)
        if not self.training or context.keys is None:
            return context.condition
        hidden = random.uniform(context.keys, "hidden speaker", 1).squeeze(1) < self.unknown
        return context.condition.masked_fill(hidden, 0)


class FiLM(nn.Module):
    """Feature-wise scale and shift by a voice; scale 1 and shift 0 for every voice at the start.

    A shift makes padding differ from 0, as a bias does: the layers behind mask what they take in.

    Source: Perez et al. 2018 (arXiv:1709.07871).
    """

    def __init__(self, dim: int, channels: int) -> None:
        super().__init__()
        # Without a bias: what all voices share is the convolution's.
        self.project = nn.Linear(dim, 2 * channels, bias=False)
        nn.init.zeros_(self.project.weight)

    def forward(
        self, x: Float[Tensor, "B C L"], voice: Float[Tensor, "B D"]
    ) -> Float[Tensor, "B C L"]:
        """Return x scaled and shifted."""
        scale, shift = self.project(voice).unsqueeze(-1).chunk(2, dim=1)
        return torch.addcmul(shift, x, 1.0 + scale)  # one pass over x


def films(config: SpeakerConfig, widths: Iterable[int]) -> nn.ModuleList:
    """Return a scale and shift for each of these numbers of channels."""
    return nn.ModuleList(FiLM(config.speaker_dim, n) for n in widths)
