"""k-means on continuous features as a source of codes."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from audiovq.errors import CheckpointError
from audiovq.units.coder import Coder
from audiovq.units.features._base import Features, checked
from audiovq.units.kmeans import KMeans


class KMeansCoder(Coder):
    """The nearest centre of every frame's features.

    Raises:
        CheckpointError: the k-means is of other features.
    """

    def __init__(self, features: Features, kmeans: KMeans) -> None:
        if kmeans.about.features != features.fingerprint():
            raise CheckpointError(
                f"the k-means is of {kmeans.about.label}, not of these {features.label} features: "
                f"fit it again"
            )
        self.features, self.kmeans = features, kmeans
        size = len(kmeans.centres)
        self.label = f"kmeans{size} on {features.label}"
        self.sample_rate, self.hop_length = features.sample_rate, features.hop_length
        self.codebook_sizes, self.layout = (size,), ("codebook 0",)

    def fingerprint(self) -> str:
        """Return a SHA-256 of features and centres."""
        return self.kmeans.fingerprint()

    def encode(
        self, items: Sequence[Float[Tensor, "1 1 _"]], *, exact: bool
    ) -> list[Int[Tensor, "K _"]]:
        """Return the codes of several waveforms, on the CPU; always exact, one by one."""
        del exact
        return [torch.cat(list(self.encode_blocks([x])), dim=-1) for x in items]

    @torch.no_grad()
    def encode_blocks(
        self, blocks: Iterable[Float[Tensor, "1 1 _"]]
    ) -> Iterator[Int[Tensor, "K _"]]:
        """Yield the codes of one waveform that arrives in blocks."""
        for piece in self.features.blocks(blocks):
            piece = checked(piece, self.features.label)  # noqa: PLW2901
            yield self.kmeans.assign(piece).cpu().unsqueeze(0)

    @torch.no_grad()
    def margins(self, x: Float[Tensor, "1 1 L"]) -> Float[Tensor, "K T"] | None:
        """Return the relative change of each frame that would give it another code."""
        return self.kmeans.margins(self.features(x)).unsqueeze(0)

    def vectors(self) -> Float[Tensor, "N D"] | None:
        """Return the centres, in the space where k-means takes distances: less the mean, and
        standardised if the features ask for that.
        """  # noqa: D205
        return self.kmeans.centres
