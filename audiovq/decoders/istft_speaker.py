"""Inverse-STFT decoder that is told who speaks."""

from functools import partial

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from audiovq.bottlenecks._base import Context
from audiovq.decoders._base import Decoder
from audiovq.decoders._speaker_reference import ReferenceEncoder
from audiovq.decoders._speaker_table import SpeakerConfig, SpeakerTable, films
from audiovq.decoders.istft import Config as ISTFTConfig
from audiovq.decoders.istft import ISTFTDecoder
from audiovq.nn.conv import Span
from audiovq.nn.stepping import Films, State


class Config(SpeakerConfig):
    """Settings of the speaker-conditioned inverse-STFT decoder."""

    istft: ISTFTConfig = Field(
        ISTFTConfig(name="istft"), description="the inverse-STFT decoder that is conditioned"
    )


class ISTFTSpeakerDecoder(Decoder):
    """The inverse-STFT decoder, what enters each block and the head scaled by who speaks.

    As `ConvSpeakerDecoder`, which learns and runs slower.

    Source: van den Oord et al. 2017 (arXiv:1711.00937), section 4.2; Vocos (Siuzdak 2023,
    arXiv:2306.00814); differences are said in `ISTFTDecoder` and `SpeakerTable`.
    """

    def __init__(self, config: Config, in_channels: int, encoder_strides: tuple[int, ...]) -> None:
        super().__init__()
        self.istft = ISTFTDecoder(config.istft, in_channels, encoder_strides)
        self.hop_length = self.istft.hop_length
        self.speakers = config.speakers
        self.table = SpeakerTable(config)
        wide, narrow = config.istft.channels, config.istft.fast_channels
        self.films = films(config, [wide] * config.istft.blocks)
        self.fast_films = films(config, [narrow] * (config.istft.fast_blocks + 1))

    def forward(
        self, z: Float[Tensor, "B D T"], context: Context = Context()
    ) -> Float[Tensor, "B 1 L"]:
        """Decode T frames to L = T * hop_length samples; `context.condition` says who speaks."""
        return self.istft.forward_with(*self._films(z, context), z, context)

    def initial_state(self, batch: int, like: Tensor) -> State:
        """Return the state of the decoder that is conditioned."""
        return self.istft.initial_state(batch, like)

    def step(
        self, z: Float[Tensor, "B D T"], state: State, context: Context = Context()
    ) -> tuple[Float[Tensor, "B 1 L"], State]:
        """Decode the next T frames by the speakers of `context`; return the new state as well."""
        return self.istft.step_with(*self._films(z, context), z, state)

    @property
    def reference(self) -> ReferenceEncoder | None:
        """The network that hears who speaks from a recording, if there is one."""
        return self.table.reference

    def input_span(self, out: Span) -> Span:
        """Return the frames that the samples `out` depend on."""
        return self.istft.input_span(out)

    def _films(self, z: Float[Tensor, "B D T"], context: Context) -> tuple[Films, Films]:
        """Return the scales by who speaks: at the frame rate, and at the spectra's."""
        voice = self.table.voices(z, context)
        wide, fast = ([partial(f, voice=voice) for f in g] for g in (self.films, self.fast_films))
        return wide, fast
