"""What the decoder of an audiovq model receives: the latents of the continuous family."""

from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from audiovq import inference
from audiovq.autoencoder import Autoencoder
from audiovq.units.features._base import Features


class LatentFeatures(Features):
    """The latents of an autoencoder; of a VAE, the posterior means.

    Where a model has several latent columns per frame, they are put side by side in one vector.

    Args:
        model: in eval mode, on the device to compute on.
        label: None: the bottleneck's name, "ae" for the plain autoencoder.
    """

    def __init__(self, model: Autoencoder, label: str | None = None) -> None:
        self.model = model
        name = model.config.bottleneck.name
        self.label = label or ("ae" if name == "identity" else name)
        self.sample_rate, self.hop_length = model.sample_rate, model.hop_length
        self.dim = model.bottleneck.out_channels * model.bottleneck.stride
        self._device = next(model.parameters()).device

    def fingerprint(self) -> str:
        """Return the model's fingerprint."""
        return self.model.fingerprint()

    @torch.no_grad()
    def blocks(self, blocks: Iterable[Float[Tensor, "1 1 _"]]) -> Iterator[Float[Tensor, "_ D"]]:
        """Yield the latents of one waveform that arrives in blocks.

        Joined, they are those of `model.embed(x, exact=True)`, on a CPU bit for bit.
        """
        there = (x.to(self._device) for x in blocks)
        for z in inference.stream(inference.to_embedding(self.model), there):
            # (1, D, T * stride) -> (T, stride * D): the columns of a frame lie next to each other
            yield z[0].t().reshape(-1, self.dim)
