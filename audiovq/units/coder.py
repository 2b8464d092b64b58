"""Whatever turns speech into codes, as extraction sees it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from audiovq import inference
from audiovq.autoencoder import Autoencoder
from audiovq.bottlenecks._codebook import listening
from audiovq.errors import ConfigError


class Coder(ABC):
    """A source of codes: a discrete model, or k-means on the features of a continuous one.

    Attributes:
        label: what it is, in a word or two, for tables.
        sample_rate: of the waveforms it takes (Hz).
        hop_length: samples per frame; L samples have ceil(L / hop_length) frames, and frame t
            stands for samples [t * hop_length, (t + 1) * hop_length).
        codebook_sizes: codebook size N of each row of codes.
        layout: what each row of codes holds.
        device: kind of device that computes them, on which rounding depends.
    """

    label: str
    sample_rate: int
    hop_length: int
    codebook_sizes: tuple[int, ...]
    layout: tuple[str, ...]
    device: str = "cpu"

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a SHA-256 that differs for coders that give other codes."""

    @abstractmethod
    def encode(
        self, items: Sequence[Float[Tensor, "1 1 _"]], *, exact: bool
    ) -> list[Int[Tensor, "K _"]]:
        """Return the codes of several waveforms, on the CPU.

        Args:
            items: waveforms at sample_rate, of any lengths.
            exact: the codes of each are the same whatever the others are.
        """

    @abstractmethod
    def encode_blocks(
        self, blocks: Iterable[Float[Tensor, "1 1 _"]]
    ) -> Iterator[Int[Tensor, "K _"]]:
        """Yield the codes of one waveform that arrives in blocks, in bounded memory.

        Joined, they equal `encode(..., exact=True)` of the whole.
        """

    def margins(self, x: Float[Tensor, "1 1 L"]) -> Float[Tensor, "K T"] | None:
        """Return the relative change of each frame that would give it another code.

        See `audiovq.bottlenecks._codebook.listening`. None where codes are not found as the
        nearest of a codebook, or not one search per row.
        """
        del x
        return None

    def vectors(self) -> Float[Tensor, "N D"] | None:
        """Return the vector that each code of the first row stands for; None if there is none."""
        return None


class ModelCoder(Coder):
    """A discrete autoencoder as a coder.

    Raises:
        ConfigError: the model is continuous.
    """

    def __init__(self, model: Autoencoder) -> None:
        if not model.is_discrete:
            raise ConfigError(
                "the model is continuous and has no codes to extract; train a discrete one, or "
                "give --kmeans N for k-means on its latents"
            )
        self.model = model
        self.label = model.config.bottleneck.name
        self.sample_rate, self.hop_length = model.sample_rate, model.hop_length
        self.codebook_sizes, self.layout = model.codebook_sizes, model.layout
        self._device = next(model.parameters()).device
        self.device = self._device.type

    def fingerprint(self) -> str:
        """Return the model's fingerprint."""
        return self.model.fingerprint()

    def encode(
        self, items: Sequence[Float[Tensor, "1 1 _"]], *, exact: bool
    ) -> list[Int[Tensor, "K _"]]:
        """Return the codes of several waveforms, on the CPU."""
        there = [x.to(self._device) for x in items]
        return [codes.cpu() for codes in self.model.encode_many(there, exact=exact)]

    def encode_blocks(
        self, blocks: Iterable[Float[Tensor, "1 1 _"]]
    ) -> Iterator[Int[Tensor, "K _"]]:
        """Yield the codes of one waveform that arrives in blocks."""
        for codes in self.model.encode_blocks(x.to(self._device) for x in blocks):
            yield codes[0].cpu()

    @torch.no_grad()
    def margins(self, x: Float[Tensor, "1 1 L"]) -> Float[Tensor, "K T"] | None:
        """Return the relative change of each frame that would give it another code."""
        hop = self.hop_length
        with listening() as heard:  # the whole at once: windows would search some frames twice
            whole = F.pad(x.to(self._device), (0, -x.shape[-1] % hop))
            codes = inference.to_codes(self.model).process(whole, None)[0]
        found = torch.cat(heard) if heard else torch.empty(0)
        return found.view(codes.shape) if found.numel() == codes.numel() else None

    @torch.no_grad()
    def vectors(self) -> Float[Tensor, "N D"] | None:
        """Return what the decoder receives for each code of the first row alone.

        None where that cannot be said of the first row alone (groups, several frame rates), or
        where there are more than 65,536 codes.
        """
        bottleneck, size = self.model.bottleneck, self.codebook_sizes[0]
        alone = len(self.codebook_sizes) == 1 or bottleneck.__class__.__name__ == "RVQ"
        if bottleneck.stride != 1 or size > 1 << 16 or not alone:
            return None
        codes = torch.arange(size, device=self._device).view(1, 1, -1)
        return bottleneck.decode(codes)[0].t().cpu()  # type: ignore[no-any-return, operator]
