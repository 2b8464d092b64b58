"""Convolutional decoder that is told who speaks."""

from functools import partial

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from audiovq.bottlenecks._base import Context
from audiovq.decoders._base import Decoder
from audiovq.decoders._speaker_reference import ReferenceEncoder
from audiovq.decoders._speaker_table import SpeakerConfig, SpeakerTable, films
from audiovq.decoders.conv import Config as ConvConfig
from audiovq.decoders.conv import ConvDecoder
from audiovq.nn.conv import Span, layer_mask
from audiovq.nn.stepping import State


class Config(SpeakerConfig):
    """Settings of the speaker-conditioned convolutional decoder."""

    conv: ConvConfig = Field(
        ConvConfig(name="conv"), description="the convolutional decoder that is conditioned"
    )


class ConvSpeakerDecoder(Decoder):
    """The convolutional decoder, every rate of it scaled and shifted by who speaks.

    As the decoder knows the speaker, codes need not carry the voice; decoding with another speaker
    converts it. At the start all speakers sound alike.

    Source: van den Oord et al. 2017 (arXiv:1711.00937), section 4.2, where a one-hot speaker
    conditions a WaveNet decoder; here a table does, by feature-wise scale and shift, and speakers
    can be unknown (`SpeakerTable`).
    """

    def __init__(self, config: Config, in_channels: int, encoder_strides: tuple[int, ...]) -> None:
        super().__init__()
        self.conv = ConvDecoder(config.conv, in_channels, encoder_strides)
        self.hop_length = self.conv.hop_length
        self.speakers = config.speakers
        self.table = SpeakerTable(config)
        self.films = films(config, self.conv.widths)

    def forward(
        self, z: Float[Tensor, "B D T"], context: Context = Context()
    ) -> Float[Tensor, "B 1 L"]:
        """Decode T frames to L = T * hop_length samples; `context.condition` says who speaks."""
        voice = self.table.voices(z, context)
        mask = None if context.mask is None else context.mask.to(z.dtype)
        first, *films = self.films
        y, rate = first(self.conv.first(z, mask), voice), 1
        for stage, stride, film in zip(self.conv.stages, self.conv.strides, films, strict=True):
            slow = layer_mask(mask, rate)
            rate *= stride
            y = film(stage.up(stage.act(y), slow), voice)  # type: ignore[operator]
            y = stage.refine(y, layer_mask(mask, rate))  # type: ignore[operator]
        return self.conv.last(self.conv.act(y), layer_mask(mask, rate))  # type: ignore[no-any-return]

    @property
    def reference(self) -> ReferenceEncoder | None:
        """The network that hears who speaks from a recording, if there is one."""
        return self.table.reference

    def initial_state(self, batch: int, like: Tensor) -> State:
        """Return the state of the decoder that is conditioned."""
        return self.conv.initial_state(batch, like)

    def step(
        self, z: Float[Tensor, "B D T"], state: State, context: Context = Context()
    ) -> tuple[Float[Tensor, "B 1 L"], State]:
        """Decode the next T frames by the speakers of `context`; return the new state as well."""
        voice = self.table.voices(z, context)
        return self.conv.step_with([partial(film, voice=voice) for film in self.films], z, state)

    def input_span(self, out: Span) -> Span:
        """Return the frames that the samples `out` depend on."""
        return self.conv.input_span(out)
