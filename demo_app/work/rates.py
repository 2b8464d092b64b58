"""What the codes of one recording cost, in every honest form."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from torch import Tensor

from audiovq.autoencoder import Autoencoder
from audiovq.bottlenecks._base import DiscreteBottleneck
from audiovq.coding.avq import compress_codes
from audiovq.eval import unit_rates
from audiovq.prior import TrainedPrior

from .streams import apart

_ABOUT = {
    "nominal": "frames per second times log2 of the codebook size, summed over the codebooks",
    "unigram": (
        "codes per second times their entropy in this recording: for a code that already knows how "
        "often each occurs, so too low for a short recording"
    ),
    "runs": (
        "repeats removed: runs per second times the entropy of code and duration in this "
        "recording; too low for a short one, as above"
    ),
    "packed": "the bytes of the .avq file that audiovq encode writes, its header included",
    "prior": (
        "the bytes of the .avq file that is written with a trained prior, its header included; "
        "the prior itself, which the receiver needs too, is not counted"
    ),
    "kl": (
        "divergence of the posteriors from the model's Gaussian prior: what sending the sample "
        "that is heard costs with bits-back coding"
    ),
}
_LABELS = {
    "nominal": "nominal",
    "unigram": "entropy of these codes",
    "runs": "deduplicated, with durations",
    "packed": "file, bit-packed",
    "prior": "file, with a prior",
    "kl": "KL rate",
}


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What the codes cost in one way of writing them.

    Attributes:
        name: `nominal`, `unigram`, `runs`, `packed`, `prior`, or `kl` (of a VAE).
        bits_per_second: of audio.
        size: bytes of the whole file, of `packed` and `prior`.
    """

    name: str
    bits_per_second: float
    size: int | None = None

    @property
    def label(self) -> str:
        """What it is called in tables."""
        return _LABELS[self.name]

    @property
    def about(self) -> str:
        """What it is, in one sentence."""
        return _ABOUT[self.name]

    @property
    def text(self) -> str:
        """The rate with its unit, and the size of the file."""
        size = "" if self.size is None else f" ({self.size:,} bytes)"
        return f"{self.bits_per_second:,.0f} bit/s{size}"


def rates(
    model: Autoencoder,
    codes: Int[Tensor, "K T"],
    length: int,
    prior: TrainedPrior | None = None,
) -> tuple[Rate, ...]:
    """Return the rates of the codes of a recording.

    Args:
        model: whose codes they are.
        codes: all rows, or the first ones of a residual model; on the CPU.
        length: of the recording (samples).
        prior: of these rows; adds what a compressed file written with it takes.

    Raises:
        CheckpointError: the prior is of another model's codes.
        ConfigError: it is of other rows.
    """
    bottleneck = model.bottleneck
    assert isinstance(bottleneck, DiscreteBottleneck)
    seconds = length / model.sample_rate
    bits = sum(math.log2(n) for n in model.codebook_sizes[: len(codes)])
    streams = [s.numpy() for s in apart(codes, bottleneck.books[: len(codes)])]
    found = [Rate(name="nominal", bits_per_second=model.frame_rate * bits)]
    for name, symbols in (
        ("unigram", unit_rates.frames),
        ("runs", unit_rates.runs_and_durations),
    ):
        counts = [np.unique(symbols(stream), return_counts=True)[1] for stream in streams]
        found.append(Rate(name=name, bits_per_second=unit_rates.rate(counts, seconds)))
    for name, coder in (("packed", None), ("prior", prior)):
        if name == "packed" or coder is not None:
            size = len(compress_codes(model, codes, length, coder))
            found.append(Rate(name=name, bits_per_second=8 * size / seconds, size=size))
    return tuple(found)
