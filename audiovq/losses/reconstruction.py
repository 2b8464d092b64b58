"""The reconstruction term of every recipe: a weighted sum of distances, keyed as logged."""

import torch
from jaxtyping import Float, Int, Num
from pydantic import Field
from torch import Tensor, nn

from audiovq.config import Config
from audiovq.losses import spectral, waveform
from audiovq.nn.precision import without_autocast


class LossConfig(Config):
    """Weights of the reconstruction terms; a term of weight 0 is not computed."""

    waveform_l1: float = Field(1.0, ge=0, description="mean absolute error of samples")
    waveform_l2: float = Field(0.0, ge=0, description="mean squared error of samples")
    stft: float = Field(
        0.0, ge=0, description="spectral convergence plus log-magnitude L1, mean of resolutions"
    )
    mel: float = Field(1.0, ge=0, description="log-mel L1 (nepers), mean of resolutions")
    complex: float = Field(
        0.0, ge=0, description="missed share of compressed complex spectra, mean of resolutions"
    )
    n_ffts: tuple[int, ...] = Field(
        (256, 512, 1024, 2048), min_length=1, description="resolutions: windows in samples"
    )
    n_mels: tuple[int, ...] = Field(
        (20, 40, 80, 80), min_length=1, description="mel bands at each resolution"
    )

    def model_post_init(self, context: object, /) -> None:
        """Refuse resolutions without bands."""
        del context
        if len(self.n_ffts) != len(self.n_mels):
            raise ValueError("n_ffts and n_mels must be equally many")


_SPECTRAL = ("stft", "mel", "complex")
TERMS = ("waveform_l1", "waveform_l2", *_SPECTRAL)


class ReconstructionLoss(nn.Module):
    """All reconstruction terms of a batch, in float32, on real samples only.

    Attributes:
        weights: weight of each term that is computed.
    """

    def __init__(self, config: LossConfig, sample_rate: int) -> None:
        super().__init__()
        self.weights: dict[str, float] = {
            name: weight for name in TERMS if (weight := getattr(config, name)) > 0
        }
        sizes = config.n_ffts if set(_SPECTRAL) & self.weights.keys() else ()
        self.spectrograms = nn.ModuleList(spectral.Spectrogram(n) for n in sizes)
        self.mels = nn.ModuleList(
            spectral.MelFilters(sample_rate, n, m)
            for n, m in zip(config.n_ffts, config.n_mels, strict=True)
            if "mel" in self.weights
        )

    def forward(
        self,
        x: Float[Tensor, "B 1 L"],
        x_hat: Float[Tensor, "B 1 L"],
        lengths: Int[Tensor, "B"],
    ) -> dict[str, Float[Tensor, "B"]]:
        """Return each term per item, unweighted: its mean over the item's real samples or frames.

        Args:
            x: original, zero past each item's end.
            x_hat: reconstruction; what lies past an item's end is ignored.
            lengths: real samples per item.
        """
        with without_autocast(x.device):
            x, x_hat = x.float(), x_hat.float()
            x_hat = x_hat.where(waveform.real_samples(x_hat, lengths), 0.0)
            terms: dict[str, Tensor] = {}
            if "waveform_l1" in self.weights:
                terms["waveform_l1"] = waveform.waveform_l1(x, x_hat, lengths)
            if "waveform_l2" in self.weights:
                terms["waveform_l2"] = waveform.waveform_l2(x, x_hat, lengths)
            return terms | self._spectral(x, x_hat, lengths)

    def total(
        self,
        terms: dict[str, Float[Tensor, "B"]],
        lengths: Int[Tensor, "B"],
        samples: Num[Tensor, ""] | float,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return each weighted term summed over items, each weighing by its share of `samples`.

        Args:
            terms: what `forward` returned.
            lengths: real samples per item.
            samples: real samples of the whole step, on all ranks.
        """
        share = lengths / samples
        return {k: self.weights[k] * (v * share).sum() for k, v in terms.items()}

    def _spectral(self, x: Tensor, x_hat: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        sums: dict[str, list[Tensor]] = {k: [] for k in _SPECTRAL if k in self.weights}
        for i, spectrogram in enumerate(self.spectrograms):
            with torch.no_grad():
                target = spectrogram.spectrum(x)  # type: ignore[operator]
            estimate = spectrogram.spectrum(x_hat)  # type: ignore[operator]
            frames = spectrogram.frames(lengths)  # type: ignore[operator]
            if "complex" in sums:
                sums["complex"].append(spectral.complex_distance(target, estimate, frames))
            target, estimate = target.abs(), estimate.abs()
            if "stft" in sums:
                sums["stft"].append(
                    spectral.spectral_convergence(target, estimate, frames)
                    + spectral.log_distance(target, estimate, frames)
                )
            if "mel" in sums:
                mel = self.mels[i]
                sums["mel"].append(spectral.log_distance(mel(target), mel(estimate), frames))
        return {k: torch.stack(v).mean(dim=0) for k, v in sums.items()}
