"""A recording through a model and back."""

import math
import time
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from audiovq.autoencoder import Autoencoder
from audiovq.coding.avq import compress_codes
from audiovq.data.corruption import fixed_key
from audiovq.errors import ConfigError
from audiovq.eval import machine
from audiovq.prior import TrainedPrior

from ..sound import Recording, checked
from .rates import Rate, rates
from .scores import Score, scores

KEY = "demo"  # of a VAE's sample: the same recording sounds the same every time


@dataclass(frozen=True, kw_only=True)
class Resynthesis:
    """What became of a recording.

    Attributes:
        original: at the model's rate.
        reconstruction: as long.
        codes: that it was decoded from; None for a continuous model.
        codebook_sizes: N of each row of them.
        layout: what each row holds.
        hop_length: samples per frame.
        rates: what the codes cost.
        scores: how far the reconstruction is from the original.
        encode_seconds: of computation.
        decode_seconds: of computation.
        notes: what a reader of the figures must know.
    """

    original: Recording
    reconstruction: Recording
    codes: Int[Tensor, "K T"] | None
    codebook_sizes: tuple[int, ...]
    layout: tuple[str, ...]
    hop_length: int
    rates: tuple[Rate, ...]
    scores: tuple[Score, ...]
    encode_seconds: float
    decode_seconds: float
    notes: tuple[str, ...] = ()

    @property
    def real_time_factor(self) -> float:
        """Seconds of computation per second of audio, encoding and decoding together."""
        return (self.encode_seconds + self.decode_seconds) / self.original.seconds

    @property
    def speed(self) -> float:
        """Seconds of audio per second of computation."""
        return 1 / self.real_time_factor

    @property
    def frame_rate(self) -> float:
        """Frames of codes per second (Hz)."""
        return self.original.sample_rate / self.hop_length


def resynthesise(
    model: Autoencoder,
    recording: Recording,
    codebooks: int | None = None,
    *,
    prior: TrainedPrior | None = None,
    measure: bool = True,
) -> Resynthesis:
    """Pass a recording through a model and back, and measure what became of it.

    A VAE is heard from a sample of its posterior, which its KL rate pays for, as in
    `audiovq evaluate`.

    Args:
        model: any autoencoder.
        recording: at any rate.
        codebooks: decode the first so many, of a residual model; None: all.
        prior: of these codes, to also say what a file written with it takes.
        measure: take scores, which costs more than the model does.

    Raises:
        AudioError: the recording is empty or not finite.
        ConfigError: the model has no such prefix of codebooks, or the prior is of others.
    """
    original = checked(recording).at(model.sample_rate)
    _check(model, codebooks)
    length = original.x.shape[-1]
    x = original.x.to(next(model.parameters()).device)
    heard = _through(model, x, codebooks)
    made = Recording(heard.x_hat, model.sample_rate, f"{original.name}-reconstruction")
    rows = 0 if heard.codes is None else len(heard.codes)
    return Resynthesis(
        original=original,
        reconstruction=made,
        codes=heard.codes,
        codebook_sizes=model.codebook_sizes[:rows],
        layout=model.layout[:rows],
        hop_length=model.hop_length,
        rates=heard.rates if heard.codes is None else rates(model, heard.codes, length, prior),
        scores=scores(original, made) if measure else (),
        encode_seconds=heard.encode_seconds,
        decode_seconds=heard.decode_seconds,
        notes=_notes(model, rows),
    )


def compressed(model: Autoencoder, found: Resynthesis, prior: TrainedPrior | None = None) -> bytes:
    """Return the recording as an .avq file, as `audiovq encode` writes it.

    Raises:
        ConfigError: the model is continuous, or the prior is of other codes.
    """
    if found.codes is None:
        raise ConfigError(
            f"a {model.config.bottleneck.name} model is continuous and has no codes to write: "
            f"choose a discrete one"
        )
    return compress_codes(model, found.codes, found.original.x.shape[-1], prior)


@dataclass(frozen=True, kw_only=True)
class _Heard:
    x_hat: Float[Tensor, "1 1 L"]
    codes: Int[Tensor, "K T"] | None
    rates: tuple[Rate, ...]
    encode_seconds: float
    decode_seconds: float


@torch.no_grad()
def _through(model: Autoencoder, x: Float[Tensor, "1 1 L"], codebooks: int | None) -> _Heard:
    """Encode exactly, so that codes are those of `audiovq extract`, and decode; both timed."""
    length, codes = x.shape[-1], None
    found: tuple[Rate, ...] = ()
    marks = [_now(x.device)]
    if model.is_discrete:
        codes = model.encode(x, exact=True)[:, :codebooks]
        marks.append(_now(x.device))
        x_hat = model.decode(codes, length)
    else:
        z = model.embed(x, exact=True)
        marks.append(_now(x.device))
        x_hat = model.decode_embedding(z, length)
    marks.append(_now(x.device))
    if model.bottleneck.has_rate:
        out = model(x, keys=torch.tensor([fixed_key(KEY)], device=x.device))
        bits = float(out.bottleneck.metrics["kl"].double().sum()) / math.log(2)
        x_hat = out.x_hat
        found = (Rate(name="kl", bits_per_second=bits * model.sample_rate / length),)
    return _Heard(
        x_hat=x_hat.cpu(),
        codes=None if codes is None else codes[0].cpu(),
        rates=found,
        encode_seconds=marks[1] - marks[0],
        decode_seconds=marks[2] - marks[1],
    )


def _now(device: torch.device) -> float:
    machine.synchronise(device)
    return time.perf_counter()


def _check(model: Autoencoder, codebooks: int | None) -> None:
    """Refuse a number of codebooks that is none; which ones it decodes, the model says itself."""
    if codebooks is None:
        return
    most, kind = model.num_codebooks, model.config.bottleneck.name
    if not model.is_discrete:
        raise ConfigError(f"codebooks={codebooks}: a {kind} model is continuous and has none")
    if not isinstance(codebooks, int) or not 1 <= codebooks <= most:
        raise ConfigError(f"codebooks={codebooks}: this {kind} model has 1 to {most}")


def _notes(model: Autoencoder, rows: int) -> tuple[str, ...]:
    found = []
    if model.bottleneck.has_rate:
        found.append(
            "what is heard and scored is a sample of the posterior, which the KL rate pays for; "
            "audiovq resynth gives its mean"
        )
    if rows < model.num_codebooks and getattr(model.config.bottleneck, "dropout", None) == 0:
        found.append("this model was trained without codebook dropout: for no fewer codebooks")
    return tuple(found)
