"""Mel-frequency cepstra, the baseline that needs no training."""

import hashlib
import json
from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from audiovq import windows
from audiovq._torchaudio import torchaudio
from audiovq.errors import ConfigError
from audiovq.units.features._base import Features, finite

_WINDOW_SECONDS = 0.025
_MELS, _CEPSTRA, _LIFTER, _LOWEST_HZ, _PREEMPHASIS = 23, 13, 22.0, 20.0, 0.97
_DELTA_FRAMES = 2  # on either side, which is torchaudio's default window of 5
_EPSILON = torch.finfo(torch.float32).eps  # Kaldi's floor of a mel band


class MFCCFeatures(Features):
    """13 cepstra with their first and second differences, 39 values, at any rate and hop.

    Kaldi's recipe as the first units of HuBERT were made with: 25 ms windows (Povey), mean
    removed, pre-emphasis 0.97, 23 mel bands from 20 Hz to half the rate, orthonormal cosine
    transform, lifter 22, differences over 2 frames on either side. We differ in the frames: each
    is centred on its own samples, with zeros beyond the ends of the audio, and differences repeat
    the first and last frame. Nothing is normalised per utterance.

    Source: Hsu et al. 2021 (HuBERT, arXiv:2106.07447), section IV-B; fairseq,
    examples/hubert/simple_kmeans/dump_mfcc_feature.py; torchaudio.compliance.kaldi.mfcc.

    Args:
        sample_rate: Hz.
        hop_length: samples per frame.
        device: where to compute.

    Raises:
        ConfigError: the rate is too low for the mel bands, or the hop is not positive.
    """

    label = "mfcc"
    dim = 3 * _CEPSTRA
    standardise = True  # the first cepstrum varies a hundred times as much as the last difference

    def __init__(
        self, sample_rate: int = 16000, hop_length: int = 320, device: str | torch.device = "cpu"
    ) -> None:
        if sample_rate < 4000 or hop_length < 1:
            raise ConfigError(
                f"MFCC at {sample_rate} Hz with a hop of {hop_length} samples asked for; 4000 Hz "
                f"or more and a hop of 1 or more are accepted"
            )
        kaldi = torchaudio.compliance.kaldi
        self.sample_rate, self.hop_length = sample_rate, hop_length
        self.size = int(sample_rate * _WINDOW_SECONDS)
        self._fft = 1 << (self.size - 1).bit_length()
        hann = torch.hann_window(self.size, periodic=False)
        self._window = hann.pow(0.85).to(device)  # Povey's
        bands, _ = kaldi.get_mel_banks(
            _MELS, self._fft, float(sample_rate), _LOWEST_HZ, 0.0, 100.0, -500.0, 1.0
        )
        self._bands = F.pad(bands, (0, 1)).t().to(device)
        cosines = torchaudio.functional.create_dct(_MELS, _MELS, "ortho")[:, :_CEPSTRA]
        order = torch.arange(_CEPSTRA)
        lifter = 1.0 + 0.5 * _LIFTER * torch.sin(torch.pi * order / _LIFTER)
        self._cosines = (cosines * lifter).to(device)
        reach = -(-max(0, self.size - hop_length) // (2 * hop_length)) + 1
        self._geometry = windows.Geometry(
            2 * _DELTA_FRAMES + reach, 2 * _DELTA_FRAMES + reach, hop_length, 1
        )
        self._widths = self._geometry.widths(hop_length)

    def fingerprint(self) -> str:
        """Return the SHA-256 of the recipe and its settings."""
        recipe = ["kaldi mfcc 1", self.sample_rate, self.hop_length, _WINDOW_SECONDS, _MELS]
        recipe += [_CEPSTRA, _LIFTER, _LOWEST_HZ, _PREEMPHASIS, _DELTA_FRAMES]
        return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()

    @torch.no_grad()
    def blocks(self, blocks: Iterable[Float[Tensor, "1 1 _"]]) -> Iterator[Float[Tensor, "_ D"]]:
        """Yield the features of one waveform that arrives in blocks."""
        there = (x.to(self._window.device) for x in finite(blocks))
        for y in windows.stream(there, self._process, self._geometry, self._widths):
            yield y[0].t().contiguous()

    def _process(
        self, x: Float[Tensor, "1 1 W"], mask: Bool[Tensor, "1 1 V"] | None
    ) -> Float[Tensor, "1 39 V"]:
        """Return the features of a stretch; those at its edges are wrong and will be dropped."""
        cepstra = self._cepstra(x[0, 0])
        index = torch.arange(len(cepstra), device=x.device)
        if mask is not None:
            real = mask[0, 0].nonzero()
            index = index.clamp(real[0], real[-1])
        rows = [cepstra[index].t()]  # beyond its ends, the item's first and last frame go on
        for _ in range(2):
            delta = torchaudio.functional.compute_deltas(rows[-1], 2 * _DELTA_FRAMES + 1)
            rows.append(delta[:, index])
        return torch.cat(rows).unsqueeze(0)

    def _cepstra(self, x: Float[Tensor, "W"]) -> Float[Tensor, "V 13"]:
        before = (self.size - self.hop_length) // 2  # negative where windows leave gaps
        frames = len(x) // self.hop_length
        need = (frames - 1) * self.hop_length + self.size
        framed = F.pad(x, (before, need - before - len(x))).unfold(0, self.size, self.hop_length)
        framed = framed - framed.mean(dim=1, keepdim=True)
        previous = torch.cat([framed[:, :1], framed[:, :-1]], dim=1)
        framed = (framed - _PREEMPHASIS * previous) * self._window
        power = torch.fft.rfft(framed, self._fft).abs().square()
        cepstra: Tensor = (power @ self._bands).clamp_min(_EPSILON).log() @ self._cosines
        return cepstra
