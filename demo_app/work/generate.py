"""New speech from a prior, piece by piece."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from audiovq.autoencoder import Autoencoder
from audiovq.errors import ConfigError
from audiovq.eval import surprise
from audiovq.prior import TrainedPrior
from audiovq.prior import _generate as library

from ..sound import Recording, checked


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
        bits_per_code: how surprising the drawn codes are to the prior, on average.
        seconds_of_work: that it took.
    """

    number: int
    recording: Recording
    codes: Int[Tensor, "K T"]
    prompt_seconds: float
    bits_per_code: float
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
    if wish.pieces < 1:
        raise ConfigError(f"{wish.pieces} pieces asked for: at least 1 is accepted")
    start = None if prompt is None else checked(prompt).at(model.sample_rate).x
    asked = library.Wish(
        number=wish.pieces,
        seconds=wish.seconds,
        batch=1,  # so that each is heard as soon as it is made
        label=wish.label,
        temperature=wish.temperature,
        top_k=wish.top_k,
        top_p=wish.top_p,
        seed=wish.seed,
    )
    try:
        drawn = library.generate(list(priors), model, asked, start, progress=False)
    except ConfigError as error:  # names them as the command line does
        told = str(error).replace("--seconds", "seconds").replace("--label", "speaker")
        raise ConfigError(told) from None
    prompted = 0 if start is None else start.shape[-1] // model.hop_length
    return _pieces(model, priors, wish, drawn, prompted)


def _pieces(
    model: Autoencoder,
    priors: Sequence[TrainedPrior],
    wish: Wish,
    drawn: Iterator[tuple[Int[Tensor, "K T"], Float[Tensor, "1 1 _"]]],
    prompted: int,
) -> Iterator[Piece]:
    """Yield what is drawn, one after the other; `prompted`: frames that were given."""
    before = time.perf_counter()
    for number, (codes, x) in enumerate(drawn, 1):
        bits = surprise.of_drawn(priors, codes, wish.label)[:, prompted:].mean()
        now = time.perf_counter()
        yield Piece(
            number=number,
            recording=Recording(x, model.sample_rate, f"piece-{number}-seed-{wish.seed}"),
            codes=codes,
            prompt_seconds=prompted * model.hop_length / model.sample_rate,
            bits_per_code=float(bits),
            seconds_of_work=now - before,
        )
        before = time.perf_counter()
