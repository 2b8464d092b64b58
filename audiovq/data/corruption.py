"""Corrupting what the encoder hears, for denoising autoencoders; the target stays clean.

Every corruption of a sample is a pure function of the sample's key, so that workers, ranks and
resuming change nothing. Nothing is clipped: a noisy waveform may exceed full scale, as the sum of
two recordings in floating point does.

Formants and spectra that are moved (`disguise`) take who speaks out of codes, where the decoder is
told; noise and masks make them robust.

Source: Vincent et al. 2008 (ICML, "Extracting and composing robust features with denoising
autoencoders"), section 2.3: masking; additive noise as in its successors.
"""

import hashlib
import math
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from pydantic import Field, field_validator
from torch import Tensor

from audiovq import audio
from audiovq.config import Config
from audiovq.data.corpora._base import audio_files
from audiovq.data.disguise import disguise, drawn
from audiovq.errors import AudioError, ConfigError

Probability = Annotated[float, Field(ge=0, le=1)]
_MOST_DB = 120.0  # beyond it float32 has no noise left to add

# One stream of random numbers per kind; 1 is `augment`'s.
_GAUSSIAN, _SAMPLES, _SPANS, _NOISE, _DISGUISE = 2, 3, 4, 5, 6


class CorruptionConfig(Config):
    """What is done to the encoder's input; nothing by default."""

    formants: float = Field(
        1.0, ge=1, le=2, description="formants are moved by a factor of up to this, up or down"
    )
    equaliser_db: float = Field(
        0.0, ge=0, le=24, description="bands are amplified or attenuated by up to this (dB)"
    )
    gaussian: Probability = Field(0.0, description="probability that Gaussian noise is added")
    gaussian_snr_db: tuple[float, float] = Field((0.0, 20.0), description="range of its SNR (dB)")
    noise_folder: str = Field("", description="folder of recordings of noise; empty: none")
    noise: Probability = Field(1.0, description="probability that a recording of noise is added")
    noise_snr_db: tuple[float, float] = Field((0.0, 20.0), description="range of its SNR (dB)")
    masked_samples: float = Field(0.0, ge=0, lt=1, description="share of single samples set to 0")
    spans_per_second: float = Field(
        0.0, ge=0, le=100, description="spans set to 0, on average (Hz)"
    )
    span_ms: tuple[float, float] = Field((10.0, 100.0), description="range of their length (ms)")

    @field_validator("gaussian_snr_db", "noise_snr_db")
    @classmethod
    def _is_a_range_of_db(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not -_MOST_DB <= value[0] <= value[1] <= _MOST_DB:
            raise ValueError(f"must be [low, high] in dB, from -{_MOST_DB:g} to {_MOST_DB:g}")
        return value

    @field_validator("span_ms")
    @classmethod
    def _is_a_range_of_ms(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1] <= 10_000:
            raise ValueError("must be [low, high] in ms, above 0 and up to 10000")
        return value

    @property
    def active(self) -> bool:
        """Whether anything is done at all."""
        recorded = self.noise_folder != "" and self.noise > 0
        masked = self.masked_samples > 0 or self.spans_per_second > 0
        return self.disguised or self.gaussian > 0 or recorded or masked

    @property
    def disguised(self) -> bool:
        """Whether formants or spectrum change."""
        return self.formants > 1 or self.equaliser_db > 0


class Corruption:
    """Corrupts waveforms: formants and spectrum first, then noise, then masks.

    Args:
        config: what to do.
        sample_rate: of the waveforms (Hz).

    Raises:
        ConfigError: the noise folder does not exist, or holds no readable audio.
    """

    def __init__(self, config: CorruptionConfig, sample_rate: int) -> None:
        self.config, self.sample_rate = config, sample_rate
        wanted = config.noise_folder != "" and config.noise > 0
        self.recordings = _probe(Path(config.noise_folder)) if wanted else []

    def fingerprint(self) -> str:
        """Return the SHA-256 of names, rates and lengths of the recordings; empty without any."""
        if not self.recordings:
            return ""
        root = Path(self.config.noise_folder)
        each = [(str(p.relative_to(root)), rate, size) for p, rate, size in self.recordings]
        return hashlib.sha256(repr(each).encode()).hexdigest()

    def __call__(self, x: Float[Tensor, "1 1 L"], key: int) -> Float[Tensor, "1 1 L"]:
        """Return a corrupted copy, the same for the same key; silence gets no noise.

        Args:
            x: clean waveform.
            key: of the sample, as `segments.item_key` makes it.

        Raises:
            AudioError: a recording of noise can no longer be decoded.
        """
        c, y = self.config, x
        if c.disguised:
            how = drawn(_stream(key, _DISGUISE), c.formants, c.equaliser_db)
            y = disguise(y, *how, self.sample_rate)
        draws = _stream(key, _GAUSSIAN)
        if draws.random() < c.gaussian:
            white = torch.from_numpy(draws.standard_normal(x.shape[-1], np.float32))
            y = add_at_snr(y, x, white, draws.uniform(*c.gaussian_snr_db))
        draws = _stream(key, _NOISE)
        if self.recordings and draws.random() < c.noise:
            snr = draws.uniform(*c.noise_snr_db)
            y = add_at_snr(y, x, self._excerpt(x.shape[-1], draws), snr)
        if c.masked_samples > 0:
            kept = _stream(key, _SAMPLES).random(x.shape[-1]) >= c.masked_samples
            y = y * torch.from_numpy(kept)
        if c.spans_per_second > 0:
            y = y * torch.from_numpy(self._outside_spans(x.shape[-1], _stream(key, _SPANS)))
        return y

    def _excerpt(self, size: int, draws: np.random.Generator) -> Float[Tensor, "L"]:
        """Return that many samples of a recording, from anywhere; a short one is repeated."""
        path, rate, length = self.recordings[draws.integers(len(self.recordings))]
        needed = math.ceil(size * rate / self.sample_rate) + 1
        start = int(draws.integers(max(1, length - needed + 1)))
        found = audio.load(
            path, self.sample_rate, start=start, num_samples=min(needed, length)
        ).flatten()
        repeated = found.repeat(-(-size // len(found)) + 1)
        offset = int(draws.integers(len(found))) if len(found) < size else 0
        return repeated[offset : offset + size]

    def _outside_spans(self, size: int, draws: np.random.Generator) -> npt.NDArray[np.bool_]:
        """Return which samples lie in no masked span; as many spans as a Poisson process has."""
        kept = np.ones(size, np.bool_)
        for _ in range(draws.poisson(self.config.spans_per_second * size / self.sample_rate)):
            length = draws.uniform(*self.config.span_ms) * self.sample_rate / 1000
            start = int(draws.integers(size))
            kept[start : start + max(1, round(length))] = False
        return kept


def add_at_snr(
    y: Float[Tensor, "1 1 L"], x: Float[Tensor, "1 1 L"], noise: Float[Tensor, "L"], snr_db: float
) -> Float[Tensor, "1 1 L"]:
    """Add noise to y, exactly `snr_db` below x's power; nothing if x or the noise is silent."""
    power, noise_power = (float(w.double().square().mean()) for w in (x, noise))
    if power == 0.0 or noise_power == 0.0:
        return y
    gain = math.sqrt(power / noise_power) * 10.0 ** (-snr_db / 20.0)
    noisy: Tensor = y + noise.to(y.dtype) * gain
    return noisy


def fixed_key(name: str) -> int:
    """Return the key of an utterance that is always corrupted alike, such as in validation."""
    return int.from_bytes(hashlib.sha256(f"fixed {name}".encode()).digest()[:8], "little") >> 1


def _stream(key: int, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array([key, number], np.uint64)))


def _probe(folder: Path) -> list[tuple[Path, int, int]]:
    """Return path, rate (Hz) and samples of each recording; headers only."""
    files = audio_files(folder) if folder.is_dir() else []
    if not files:
        raise ConfigError(
            f"data.corruption.noise_folder={folder} must be a folder with wav, flac, ogg or mp3 "
            f"files"
        )
    try:
        found = [(path, audio.probe(path)) for path in files]
    except AudioError as error:
        raise ConfigError(f"data.corruption.noise_folder: {error}; remove that file") from None
    return [(path, info.sample_rate, info.num_samples) for path, info in found]
