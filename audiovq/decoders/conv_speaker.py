"""Convolutional decoder that is told who speaks."""

from collections import Counter
from functools import partial
from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import Field, field_validator
from torch import Tensor, nn

from audiovq.bottlenecks._base import Context
from audiovq.config import ComponentConfig
from audiovq.decoders._base import Decoder
from audiovq.decoders.conv import Config as ConvConfig
from audiovq.decoders.conv import ConvDecoder
from audiovq.nn import random
from audiovq.nn.conv import Span, layer_mask
from audiovq.nn.stepping import State

MAX_SPEAKERS = 10_000  # their names are part of the config: this many fit `MAX_CONFIG_BYTES`
MAX_NAME = 128  # characters; Common Voice's speaker ids, the longest in use, have 128

SpeakerName = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]


class Config(ComponentConfig):
    """Settings of the speaker-conditioned decoder."""

    conv: ConvConfig = Field(
        ConvConfig(name="conv"), description="the convolutional decoder that is conditioned"
    )
    speakers: tuple[SpeakerName, ...] = Field(
        (),
        max_length=MAX_SPEAKERS,
        description="names in the order of the table's rows from 1; empty: the training speakers",
    )
    speaker_dim: int = Field(64, ge=1, le=1024, description="values that describe a speaker")
    unknown: float = Field(
        0.1, ge=0, le=1, description="share of training segments whose speaker is hidden"
    )

    @field_validator("speakers")
    @classmethod
    def _differ(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        twice = [name for name, n in Counter(names).items() if n > 1]
        if twice:
            raise ValueError(f"{twice[0]!r} stands there twice; every speaker has one row")
        return names


class ConvSpeakerDecoder(Decoder):
    """The convolutional decoder, every rate of it scaled and shifted by who speaks.

    As the decoder knows the speaker, codes need not carry the voice; decoding with another speaker
    converts it. Row 0 of the table stands for anyone: for held-out speakers, for
    `Context.condition=None`, and for a share `unknown` of the training segments, which keeps it
    trained. At the start all speakers sound alike.

    Source: van den Oord et al. 2017 (arXiv:1711.00937), section 4.2, where a one-hot speaker
    conditions a WaveNet decoder; here a table does, by feature-wise scale and shift (FiLM, Perez
    et al. 2018, arXiv:1709.07871), and speakers can be unknown.
    """

    def __init__(self, config: Config, in_channels: int, encoder_strides: tuple[int, ...]) -> None:
        super().__init__()
        self.conv = ConvDecoder(config.conv, in_channels, encoder_strides)
        self.hop_length = self.conv.hop_length
        self.speakers = config.speakers
        self.unknown = config.unknown
        self.table = nn.Embedding(1 + len(config.speakers), config.speaker_dim)
        nn.init.normal_(self.table.weight, std=config.speaker_dim**-0.5)  # rows of length 1
        self.films = nn.ModuleList(_Film(config.speaker_dim, n) for n in self.conv.widths)

    def forward(
        self, z: Float[Tensor, "B D T"], context: Context = Context()
    ) -> Float[Tensor, "B 1 L"]:
        """Decode T frames to L = T * hop_length samples; `context.condition` holds table rows."""
        voice = self.table(self._rows(z, context))
        mask = None if context.mask is None else context.mask.to(z.dtype)
        first, *films = self.films
        y, rate = first(self.conv.first(z, mask), voice), 1
        for stage, stride, film in zip(self.conv.stages, self.conv.strides, films, strict=True):
            slow = layer_mask(mask, rate)
            rate *= stride
            # A shift makes padding differ from 0, as a bias does: layers mask what they take in.
            y = film(stage.up(stage.act(y), slow), voice)  # type: ignore[operator]
            y = stage.refine(y, layer_mask(mask, rate))  # type: ignore[operator]
        return self.conv.last(self.conv.act(y), layer_mask(mask, rate))  # type: ignore[no-any-return]

    def initial_state(self, batch: int, like: Tensor) -> State:
        """Return the state of the decoder that is conditioned."""
        return self.conv.initial_state(batch, like)

    def step(
        self, z: Float[Tensor, "B D T"], state: State, context: Context = Context()
    ) -> tuple[Float[Tensor, "B 1 L"], State]:
        """Decode the next T frames by the speakers of `context`; return the new state as well."""
        voice = self.table(self._rows(z, context))
        return self.conv.step_with([partial(film, voice=voice) for film in self.films], z, state)

    def input_span(self, out: Span) -> Span:
        """Return the frames that the samples `out` depend on."""
        return self.conv.input_span(out)

    def _rows(self, z: Float[Tensor, "B D T"], context: Context) -> Int[Tensor, "B"]:
        """Return each item's row of the table; in training some are hidden, by their keys."""
        if context.condition is None:
            return torch.zeros(len(z), dtype=torch.int64, device=z.device)
        if not self.training or context.keys is None:
            return context.condition
        hidden = random.uniform(context.keys, "hidden speaker", 1).squeeze(1) < self.unknown
        return context.condition.masked_fill(hidden, 0)


class _Film(nn.Module):
    """Feature-wise scale and shift by a voice; scale 1 and shift 0 for every voice at the start."""

    def __init__(self, dim: int, channels: int) -> None:
        super().__init__()
        # Without a bias: what all voices share is the convolution's.
        self.project = nn.Linear(dim, 2 * channels, bias=False)
        nn.init.zeros_(self.project.weight)

    def forward(
        self, x: Float[Tensor, "B C L"], voice: Float[Tensor, "B D"]
    ) -> Float[Tensor, "B C L"]:
        scale, shift = self.project(voice).unsqueeze(-1).chunk(2, dim=1)
        return torch.addcmul(shift, x, 1.0 + scale)  # one pass over x
