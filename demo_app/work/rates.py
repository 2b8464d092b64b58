"""What the codes of one recording cost, in every honest form."""

from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from audiovq.autoencoder import Autoencoder
from audiovq.prior import TrainedPrior


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What the codes cost in one way of writing them.

    Attributes:
        name: `nominal`, `unigram`, `runs`, `packed`, `prior`, or `kl` (of a VAE).
        label: for tables.
        bits_per_second: of audio.
        size: bytes of the whole file, of `packed` and `prior`.
        about: one sentence.
    """

    name: str
    label: str
    bits_per_second: float
    size: int | None = None
    about: str = ""


def rates(
    model: Autoencoder,
    codes: Int[Tensor, "K T"],
    length: int,
    prior: TrainedPrior | None = None,
) -> tuple[Rate, ...]:
    """Return the rates of the codes of a recording.

    Args:
        model: whose codes they are.
        codes: all rows, or the first ones of a residual model.
        length: of the recording (samples).
        prior: of these rows; adds what a compressed file written with it takes.
    """
    raise NotImplementedError
