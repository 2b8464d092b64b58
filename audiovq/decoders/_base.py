"""The contract of every decoder."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from audiovq.bottlenecks._base import Context
from audiovq.errors import ConfigError
from audiovq.nn.conv import Span
from audiovq.nn.stepping import State


class Decoder(nn.Module, ABC):
    """Base of every decoder: one column per frame to waveform.

    Attributes:
        hop_length: samples per frame.
        speakers: names of the rows 1, 2, ... that `Context.condition` may hold, where 0 is anyone;
            empty for a decoder that takes no condition.
    """

    hop_length: int
    speakers: tuple[str, ...] = ()

    @property
    def reference(self) -> nn.Module | None:
        """The network from recordings to vectors that `Context.condition` may hold, if any."""
        return None

    @abstractmethod
    def forward(self, z: Float[Tensor, "B D T"], context: Context = ...) -> Float[Tensor, "B 1 L"]:
        """Decode T frames to L = T * hop_length samples; `context.mask` marks real frames."""

    @abstractmethod
    def input_span(self, out: Span) -> Span:
        """Return the frames that the samples `out` depend on."""

    def initial_state(self, batch: int, like: Tensor) -> State:
        """Return the state of so many items before their first frame: zeros, item by item.

        Dtype and device are those of `like`. Only a causal decoder has one.

        Raises:
            ConfigError: this decoder has no steps.
        """
        del batch, like
        raise ConfigError(f"{type(self).__name__} defines no initial_state() and no step()")

    def step(
        self, z: Float[Tensor, "B D T"], state: State, context: Context = Context()
    ) -> tuple[Float[Tensor, "B 1 L"], State]:
        """Decode the next T frames; equals `forward` of all, but for rounding.

        Returns:
            the next samples and the new state; the old one is left as it was.
        """
        raise NotImplementedError

    @property
    def receptive_field(self) -> tuple[int, int]:
        """Frames before and after a frame that its samples depend on."""
        span = self.input_span(Span(0, self.hop_length))
        return -span.start, span.end - 1
