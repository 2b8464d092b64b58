"""New speech from a prior, piece by piece."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from audiovq.autoencoder import Autoencoder
from audiovq.prior import TrainedPrior

from ..sound import Recording


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What to generate.

    Attributes:
        pieces: how many.
        seconds: of each, the prompt's included.
        temperature: logits are divided by it; 0 takes the most probable code.
        top_k: draw from so many codes only; None: all.
        top_p: draw from the most probable codes of this share together; None: all.
        seed: of all draws; the same seed gives the same pieces.
        label: speaker, if the prior knows labels; None: any.
    """

    pieces: int = 3
    seconds: float = 3.0
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0
    label: str | None = None


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One finished piece.

    Attributes:
        number: from 1.
        recording: its sound.
        codes: of it, the prompt's included.
        prompt_seconds: at its beginning that were given, not drawn.
        bits_per_code: how surprising the drawn codes are to the prior; None with several priors.
        seconds_of_work: that it took.
    """

    number: int
    recording: Recording
    codes: Int[Tensor, "K T"]
    prompt_seconds: float
    bits_per_code: float | None
    seconds_of_work: float


def generate(
    model: Autoencoder,
    priors: Sequence[TrainedPrior],
    wish: Wish,
    prompt: Recording | None = None,
) -> Iterator[Piece]:
    """Yield pieces as they are finished; stops when it is closed.

    Args:
        model: whose codes the priors are of.
        priors: in the order of drawing (`Shelf.prior`).
        wish: what to draw, and how.
        prompt: speech to go on from, at any rate; its whole frames are kept.

    Raises:
        ConfigError: the wish cannot be met; raised at once, before anything is drawn.
        CheckpointError: a prior is of another model's codes.
        AudioError: the prompt is empty or not finite.
    """
    raise NotImplementedError
