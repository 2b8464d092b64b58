"""A recording through a model and back."""

from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from audiovq.autoencoder import Autoencoder
from audiovq.prior import TrainedPrior

from ..sound import Recording
from .rates import Rate
from .scores import Score


@dataclass(frozen=True, kw_only=True)
class Resynthesis:
    """What became of a recording.

    Attributes:
        original: at the model's rate.
        reconstruction: as long.
        codes: that it was decoded from; None for a continuous model.
        codebook_sizes: N of each row of them.
        layout: what each row holds.
        hop_length: samples per frame.
        rates: what the codes cost.
        scores: how far the reconstruction is from the original.
        encode_seconds: of computation.
        decode_seconds: of computation.
        notes: what a reader of the figures must know.
    """

    original: Recording
    reconstruction: Recording
    codes: Int[Tensor, "K T"] | None
    codebook_sizes: tuple[int, ...]
    layout: tuple[str, ...]
    hop_length: int
    rates: tuple[Rate, ...]
    scores: tuple[Score, ...]
    encode_seconds: float
    decode_seconds: float
    notes: tuple[str, ...] = ()

    @property
    def real_time_factor(self) -> float:
        """Seconds of computation per second of audio, encoding and decoding together."""
        return (self.encode_seconds + self.decode_seconds) / self.original.seconds

    @property
    def speed(self) -> float:
        """Seconds of audio per second of computation."""
        return 1 / self.real_time_factor


def resynthesise(
    model: Autoencoder,
    recording: Recording,
    codebooks: int | None = None,
    *,
    prior: TrainedPrior | None = None,
    measure: bool = True,
) -> Resynthesis:
    """Pass a recording through a model and back, and measure what became of it.

    Args:
        model: any autoencoder.
        recording: at any rate.
        codebooks: decode the first so many, of a residual model; None: all.
        prior: of the model's codes, to also say what a file written with it takes.
        measure: take scores, which costs more than the model does.

    Raises:
        AudioError: the recording is empty or not finite.
        ConfigError: the model has no such prefix of codebooks.
    """
    raise NotImplementedError


def compressed(model: Autoencoder, found: Resynthesis, prior: TrainedPrior | None = None) -> bytes:
    """Return the recording as an .avq file, as `audiovq encode` writes it.

    Raises:
        ConfigError: the model is continuous.
    """
    raise NotImplementedError
