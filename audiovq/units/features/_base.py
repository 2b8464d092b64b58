"""What k-means clusters: a vector per frame, the same however the audio arrives."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from audiovq import inference
from audiovq.errors import AudioError


def checked(piece: Float[Tensor, "T D"], label: str) -> Float[Tensor, "T D"]:
    """Return features, after refusing NaN and infinity, which have no nearest centre.

    Raises:
        AudioError: there are some.
    """
    if not bool(torch.isfinite(piece).all()):
        raise AudioError(f"its {label} features hold NaN or infinity")
    return piece


class Features(ABC):
    """A vector for every frame of a waveform, a function of that waveform alone.

    Frame t is centred on samples [t * hop_length, (t + 1) * hop_length), and L samples have
    ceil(L / hop_length) frames. How the audio is cut into pieces is decided by its length alone,
    so the bits are the same from a file at once and from any stream of blocks.

    Attributes:
        label: what they are, in a word or two.
        sample_rate: of the waveforms (Hz).
        hop_length: samples per frame.
        dim: values per frame, D.
        standardise: whether dimensions are unlike quantities, which k-means must first bring to
            equal variance. Learned features have a metric of their own and stay as they are.
    """

    label: str
    sample_rate: int
    hop_length: int
    dim: int
    standardise: bool = False

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a SHA-256 that differs for features of other values."""

    @abstractmethod
    def blocks(self, blocks: Iterable[Float[Tensor, "1 1 _"]]) -> Iterator[Float[Tensor, "_ D"]]:
        """Yield the features of one waveform that arrives in blocks, in bounded memory.

        The pieces end where the length of the waveform says, not where the blocks do.

        Raises:
            AudioError: a sample is not finite.
        """

    @torch.no_grad()
    def __call__(self, x: Float[Tensor, "1 1 L"]) -> Float[Tensor, "T D"]:
        """Return the features of a waveform.

        Raises:
            AudioError: it is empty, or a sample is not finite.
        """
        if x.numel() == 0:
            raise AudioError("the waveform has no samples, so it has no features")
        return torch.cat(list(self.blocks([x])))


def finite(blocks: Iterable[Float[Tensor, "1 1 _"]]) -> Iterator[Float[Tensor, "1 1 _"]]:
    """Pass blocks on, refusing NaN and infinity."""
    return map(inference.finite, blocks)
