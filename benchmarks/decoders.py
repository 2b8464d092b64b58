"""Decoders and whole codecs on one thread: what a second of audio costs, fresh weights.

    python benchmarks/decoders.py [--save] [--seconds N] [--rounds N]

1. The `istft` decoder beside `conv`, both by the default config, centred and causal.
2. Encode and decode of the default model, and of those with spectra at one end or both, beside the
   architectures of EnCodec (24 kHz) and DAC (16 kHz) in transformers: at the released widths, and
   with widths scaled down to our number of parameters. Weight norm is folded everywhere, as in a
   model that is used; every codec runs four codebooks. Rates differ, so speed is in seconds of
   audio per second.

Weights of encoder and decoder count, codebooks do not. Multiply-accumulates (MAC) are those of
convolutions and products, without the FFT. Medians of interleaved rounds.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from _common import finish, interleaved
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from audiovq.autoencoder import Autoencoder, AutoencoderConfig
from audiovq.bottlenecks._base import Context
from audiovq.config import parse
from audiovq.nn import lean
from audiovq.nn.conv import fold_weight_norm

RVQ = {"name": "rvq", "dim": 64, "codebook_size": 512, "num_codebooks": 4}
CODEBOOKS = 4


@dataclass(frozen=True)
class Codec:
    """A model to time: its parts with weights, its rate (Hz), and a round trip of a waveform.

    `plain` is a round trip through layers whose work can be counted.
    """

    parts: tuple[nn.Module, ...]
    rate: int
    there_and_back: Callable[[Tensor], Tensor]
    plain: Callable[[Tensor], Tensor]

    @property
    def weights(self) -> int:
        """Scalars of the parts."""
        return sum(p.numel() for part in self.parts for p in part.parameters())


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    seconds, rounds = _option("--seconds", 4), _option("--rounds", 9)
    decoders = time_decoders(seconds, rounds)
    codecs = time_codecs(seconds, rounds)
    columns = ["weights", "million MAC per s", "times real time", "speed to first"]
    rows = [["on one thread", *columns]]
    for part in (decoders, codecs):
        first = next(iter(part.values()))["speed"]
        for name, v in part.items():
            share = f"{v['speed'] / first:.2f}"
            rows.append([name, v["weights"], f"{v['mmac']:.0f}", f"{v['speed']:.1f}", share])
    finish("decoders", {"seconds": seconds, "decoders": decoders, "codecs": codecs}, rows)


def time_decoders(seconds: int, rounds: int) -> dict[str, dict[str, float]]:
    models = {
        f"decoder {name}{', causal' * causal}": ours("conv", name, causal=causal)
        for causal in (False, True)
        for name in ("conv", "istft")
    }
    z = torch.randn(1, 64, seconds * 50)

    def run(model: Autoencoder) -> Callable[[], Tensor]:
        return lambda: inference(lambda: model.decoder(z, Context()))

    times = interleaved({name: run(model) for name, model in models.items()}, rounds)
    return {
        name: {
            "weights": sum(p.numel() for p in model.decoder.parameters()),
            "mmac": mmac(lambda m=model: m.decoder(z)) / seconds,
            "seconds": times[name],
            "speed": seconds / times[name],
        }
        for name, model in models.items()
    }


def time_codecs(seconds: int, rounds: int) -> dict[str, dict[str, float]]:
    ends = (("conv", "conv"), ("conv", "istft"), ("stft", "istft"))
    mine = {f"audiovq, {a} and {b}": our_codec(a, b) for a, b in ends}
    codecs, size = dict(mine), mine["audiovq, stft and istft"].weights
    codecs["EnCodec, our size"] = of_size(size, encodec(10, 96))
    codecs["DAC, our size"] = of_size(size, dac(9, 224))
    codecs["EnCodec, released size"] = encodec(32, 128)
    codecs["DAC, released size"] = dac(64, 1536)
    inputs = {name: torch.randn(1, 1, seconds * c.rate) * 0.05 for name, c in codecs.items()}

    def run(name: str) -> Callable[[], Tensor]:
        return lambda: inference(lambda: codecs[name].there_and_back(inputs[name]))

    times = interleaved({name: run(name) for name in codecs}, rounds)
    return {
        name: {
            "weights": codec.weights,
            "rate": codec.rate,
            "mmac": mmac(lambda n=name, c=codec: c.plain(inputs[n])) / seconds,
            "seconds": times[name],
            "speed": seconds / times[name],
        }
        for name, codec in codecs.items()
    }


def ours(encoder: str, decoder: str, *, causal: bool = False) -> Autoencoder:
    values: dict[str, Any] = {
        "encoder": {"name": encoder, "causal": causal},
        "bottleneck": RVQ,
        "decoder": {"name": decoder, "causal": causal},
    }
    return folded(Autoencoder(parse(AutoencoderConfig, values)))


def our_codec(encoder: str, decoder: str) -> Codec:
    model = ours(encoder, decoder)

    def run(x: Tensor) -> Tensor:
        return model.decode(model.encode(x))

    parts = (model.encoder, model.decoder)
    return Codec(parts, model.sample_rate, run, lambda x: model(x).x_hat)


def encodec(filters: int, hidden: int) -> Codec:
    from transformers import EncodecConfig, EncodecModel

    config = EncodecConfig(num_filters=filters, hidden_size=hidden, codebook_dim=hidden)
    model = folded(EncodecModel(config))
    bandwidth = 75 * 10 * CODEBOOKS / 1000  # kbit/s

    def run(x: Tensor) -> Tensor:
        found = model.encode(x, bandwidth=bandwidth)
        return model.decode(found.audio_codes, found.audio_scales).audio_values

    return Codec((model.encoder, model.decoder), config.sampling_rate, run, run)


def dac(encoder_width: int, decoder_width: int) -> Codec:
    """As the 16 kHz model's own configuration, whose hop is 320 samples (DacConfig's is 512)."""
    from transformers import DacConfig, DacModel

    config = DacConfig(
        encoder_hidden_size=encoder_width,
        decoder_hidden_size=decoder_width,
        downsampling_ratios=[2, 4, 5, 8],
        upsampling_ratios=[8, 5, 4, 2],
        n_codebooks=12,
    )
    model = folded(DacModel(config))

    def run(x: Tensor) -> Tensor:
        codes = model.encode(x, n_quantizers=CODEBOOKS).audio_codes
        return model.decode(audio_codes=codes).audio_values

    return Codec((model.encoder, model.decoder), config.sampling_rate, run, run)


def of_size(weights: int, codec: Codec) -> Codec:
    """Return the codec, which must be within 5 % of so many weights."""
    assert abs(codec.weights / weights - 1) <= 0.05, (codec.weights, weights)
    return codec


def folded(model: Any) -> Any:
    fold_weight_norm(model)
    return model.eval()


def inference(function: Callable[[], Tensor]) -> Tensor:
    with torch.no_grad(), lean.weights_kept():
        return function()


def mmac(function: Callable[[], Any]) -> float:
    """Million multiply-accumulates of the plain layers, which are those that can be counted."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops() / 2e6


def _option(name: str, default: int) -> int:
    return int(sys.argv[sys.argv.index(name) + 1]) if name in sys.argv else default


if __name__ == "__main__":
    main()
