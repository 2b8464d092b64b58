"""The contract of every encoder."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from audiovq.errors import ConfigError
from audiovq.nn.conv import Span
from audiovq.nn.stepping import State


class Encoder(nn.Module, ABC):
    """Base of every encoder: waveform to one column per frame.

    Attributes:
        strides: downsampling factors, first to last.
        hop_length: samples per frame, the product of the strides.
    """

    strides: tuple[int, ...]
    hop_length: int

    @abstractmethod
    def forward(
        self, x: Float[Tensor, "B 1 L"], mask: Float[Tensor, "#B 1 T"] | None = None
    ) -> Float[Tensor, "B C T"]:
        """Encode L = T * hop_length samples; every layer sees zeros where `mask` is 0."""

    @abstractmethod
    def input_span(self, out: Span) -> Span:
        """Return the samples that the frames `out` depend on."""

    def initial_state(self, batch: int, like: Tensor) -> State:
        """Return the state of so many items before their first sample: zeros, item by item.

        Dtype and device are those of `like`. Only a causal encoder has one.

        Raises:
            ConfigError: this encoder has no steps.
        """
        del batch, like
        raise ConfigError(f"{type(self).__name__} defines no initial_state() and no step()")

    def step(self, x: Float[Tensor, "B 1 L"], state: State) -> tuple[Float[Tensor, "B C T"], State]:
        """Encode the next T * hop_length samples; equals `forward` of all, but for rounding.

        Returns:
            the next frames and the new state; the old one is left as it was.
        """
        raise NotImplementedError

    @property
    def receptive_field(self) -> tuple[int, int]:
        """Samples before the first and after the last of a frame's own that it depends on."""
        span = self.input_span(Span(0, 1))
        return -span.start, span.end - self.hop_length

    @property
    def gap(self) -> int:
        """Masked frames between two items that keep them apart.

        As many as all layers together reach always suffice; as many as the farthest-reaching
        layer does suffice where every layer sees zeros there.
        """
        before, after = self.receptive_field
        return -(-max(before, after) // self.hop_length)
