"""Streams on one thread: how fast, and what they cost beside the offline result.

    python benchmarks/streaming.py [--save] [--seconds N] [--rounds N]

Encode and decode of the default model and of the one with spectra, both causal and with fresh
weights, weight norm folded as in a model that is used:

1. offline: encode(), then decode(), of the whole recording.
2. in blocks of 20 ms, which are one frame: one stream, and a batch of eight.
3. one stream of the same model, exported, by onnxruntime.

Speed is in seconds of audio per second, of all recordings of a batch together. `cost` is the time
per second of audio beside offline's. Multiply-accumulates (MAC) are counted of both ways: they tell
arithmetic from what a call costs and from reading all weights once per frame; Fourier transforms
and convolutions of single channels, which steps write as sums, are not among them. Medians of
interleaved rounds, of the CPU time of this process, which waits for no other on a busy machine;
what others push out of the caches still counts.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
from _common import finish, interleaved
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from audiovq import streaming_steps as steps
from audiovq.autoencoder import Autoencoder, AutoencoderConfig
from audiovq.config import parse
from audiovq.export.live import Exported
from audiovq.export.write import export
from audiovq.nn.conv import fold_weight_norm

RVQ = {"name": "rvq", "dim": 64, "codebook_size": 512, "num_codebooks": 4}
ENDS = (("conv", "conv"), ("stft", "istft"))
BATCH = 8
BLOCK = 320  # samples: 20 ms


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    seconds, rounds = _option("--seconds", 2), _option("--rounds", 9)
    values, table = (
        {},
        [["on one thread, by CPU time", "times real time", "cost", "state (kB)", "MAC"]],
    )
    for ends in ENDS:
        model, name = causal(*ends), " and ".join(ends)
        found = measure(model, seconds, rounds)
        values[name] = found
        for way in ("offline", "stream", "streams", "exported"):
            kinds = {"stream": "one stream", "streams": f"{BATCH} streams"}
            kind = (kinds | {"exported": "one stream, exported"}).get(way, way)
            each = found[way]
            state = f"{each['state_bytes'] / 1000:.1f}" if "state_bytes" in each else ""
            row = [f"{each['speed']:.1f}", f"{each['cost']:.2f}", state]
            table.append([f"{name}, {kind}", *row, f"{found['mac_ratio']:.2f}"])
    finish("streaming", {"clock": "process_time", "seconds": seconds, "models": values}, table)


def measure(model: Autoencoder, seconds: int, rounds: int) -> dict[str, Any]:
    x = torch.randn(BATCH, 1, 16000 * seconds) * 0.05
    with (
        model.stream() as one,
        model.stream(BATCH) as many,
        tempfile.TemporaryDirectory() as folder,
    ):
        export(model, f"{folder}/graphs", formats=("onnx",))
        graphs = Exported(f"{folder}/graphs").stream()
        times = interleaved(
            {
                "offline": lambda: model.decode(model.encode(x[:1])),
                "stream": lambda: through(one, x[:1]),
                "streams": lambda: through(many, x),
                "exported": lambda: through(graphs, x[:1]),
            },
            rounds,
            clock=time.process_time,
        )
        held = {"stream": one.state_bytes, "streams": many.state_bytes}
    audio = {way: seconds * (BATCH if way == "streams" else 1) for way in times}
    offline = times["offline"] / seconds
    return {
        way: {
            "seconds": times[way],
            "speed": audio[way] / times[way],
            "cost": times[way] / audio[way] / offline,
            **({"state_bytes": held[way]} if way in held else {}),
        }
        for way in times
    } | {"mac_ratio": macs(model, x[:1])}


def through(stream: Any, x: Tensor) -> None:
    """Encode and decode block by block, as a call in each direction does."""
    for block in x.split(BLOCK, dim=-1):
        stream.decode(stream.encode(block))


def macs(model: Autoencoder, x: Tensor) -> float:
    """Return the arithmetic of steps over that of the whole, in layers that can be counted."""
    x = x[..., : 10 * BLOCK]

    def whole() -> None:
        model.decoder(model.encoder(x))

    def in_steps() -> None:
        there, back = steps.encoder_state(model, 1, x), steps.decoder_state(model, 1, x)
        for block in x.split(BLOCK, dim=-1):
            z, there = model.encoder.step(block, there)
            _, back = model.decoder.step(z, back)

    return counted(in_steps) / counted(whole)


def counted(function: Callable[[], None]) -> int:
    with FlopCounterMode(display=False) as counter:  # with gradients on, layers are plain
        function()
    return counter.get_total_flops()


def causal(encoder: str, decoder: str) -> Autoencoder:
    values: dict[str, Any] = {
        "encoder": {"name": encoder, "causal": True},
        "bottleneck": RVQ,
        "decoder": {"name": decoder, "causal": True},
    }
    model = Autoencoder(parse(AutoencoderConfig, values))
    fold_weight_norm(model)
    return model.eval()


def _option(name: str, default: int) -> int:
    return int(sys.argv[sys.argv.index(name) + 1]) if name in sys.argv else default


if __name__ == "__main__":
    main()
