"""ONNX beside PyTorch eager, one thread each: encoder and decoder on 10 s of sound.

    python benchmarks/export.py [--save] [--rounds N] [MODEL ...]

Of models by folder or name; without any, of fresh weights by the default configs with convolutions
and with spectra at both ends, and of two models that come with audiovq. Each is exported first,
which takes up to a minute. The same graphs as `audiovq export` writes, and the same comparison;
eager is `model.encode` and `model.decode`. Medians of interleaved rounds.
"""

import sys
import tempfile
from pathlib import Path

import torch
from _common import finish, named

import audiovq
from audiovq.autoencoder import Autoencoder, AutoencoderConfig
from audiovq.config import parse
from audiovq.export.parts import Wanted
from audiovq.export.write import export
from audiovq.nn.conv import fold_weight_norm

RVQ = {"name": "rvq", "dim": 64, "codebook_size": 512, "num_codebooks": 4}


def main() -> None:
    torch.set_num_threads(1)
    words = [w for w in sys.argv[1:] if not w.startswith("--")]
    rounds = 9
    if "--rounds" in sys.argv:
        rounds = int(sys.argv[sys.argv.index("--rounds") + 1])
        words.remove(str(rounds))
    models = {named(word): audiovq.load(word) for word in words} or {
        "conv and conv": fresh("conv", "conv"),
        "stft and istft": fresh("stft", "istft"),
        **{name: audiovq.load(name) for name in ("vq-50hz", "rvq-50hz")},
    }
    values, rows = {}, [["10 s of sound", "part", "ONNX ms", "PyTorch ms", "PyTorch / ONNX"]]
    for name, model in models.items():
        values[name] = measure(model, rounds)
        for part, (onnx, eager) in values[name].items():
            cells = [f"{1e3 * onnx:.1f}", f"{1e3 * eager:.1f}", f"{eager / onnx:.2f}"]
            rows.append([name, part, *cells])
    finish("export", {"seconds": values}, rows)


def measure(model: Autoencoder, rounds: int) -> dict[str, tuple[float, float]]:
    """Return seconds by onnxruntime and by PyTorch of each part."""
    with tempfile.TemporaryDirectory() as folder:
        found = export(
            model,
            Path(folder) / "graphs",
            Wanted(streaming=False),
            formats=("onnx",),
            speed_rounds=rounds,
        )
    times = {}
    for agreement in found:
        assert agreement.seconds is not None
        assert agreement.eager is not None
        times[agreement.file.partition(".")[0]] = (agreement.seconds, agreement.eager)
    return times


def fresh(encoder: str, decoder: str) -> Autoencoder:
    torch.manual_seed(0)
    values = {"encoder": {"name": encoder}, "bottleneck": RVQ, "decoder": {"name": decoder}}
    model = Autoencoder(parse(AutoencoderConfig, values)).eval().requires_grad_(requires_grad=False)
    fold_weight_norm(model)
    model.bottleneck.initialise(model.encoder(0.05 * torch.randn(4, 1, 64000)))  # type: ignore[operator]
    return model


if __name__ == "__main__":
    main()
