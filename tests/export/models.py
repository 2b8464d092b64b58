"""Tiny models to export: the smallest that show every kind of layer."""

import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audiovq.autoencoder import Autoencoder, AutoencoderConfig
from audiovq.config import parse
from tests.helpers import noise, small_model, voices_model

RVQ = {"name": "rvq", "dim": 6, "codebook_size": 16, "num_codebooks": 2}


def spectra(*, causal: bool = False) -> Autoencoder:
    """Spectra at both ends around a residual quantizer, in eval mode."""
    width = {"channels": 8, "fast_channels": 8, "stft_hop": 5, "blocks": 1, "causal": causal}
    values = {
        "encoder": {"name": "stft", "strides": [2, 5], **width},
        "decoder": {"name": "istft", **width},
        "bottleneck": RVQ,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Autoencoder(parse(AutoencoderConfig, values)).eval()
        model.bottleneck.initialise(model.encoder(noise(4, 2000, seed=1)))
    return model


MODELS = {"conv": small_model, "spectra": spectra}
MORE = {
    "conv_causal": lambda: small_model(causal=True),
    "spectra_causal": lambda: spectra(causal=True),
    "voices": lambda: voices_model(causal=True),
    "sphere": lambda: small_model(
        {"name": "vq_ema", "dim": 6, "codebook_size": 16, "factorised": {"dim": 3}}
    ),
}


def make(name: str) -> Autoencoder:
    """Return a model by the name of a bottleneck, or of `MODELS` and `MORE`."""
    known = {**MODELS, **MORE}
    if name in known:
        return known[name]()
    least = {
        "fsq": {"levels": [5, 4]},
        "lfq": {"bits": 6},
        "bsq": {"bits": 6},
        "gvq": {"dim": 6, "num_codebooks": 2},
    }
    return small_model({"name": name, **least.get(name, {"dim": 6})})


def run_example(graphs: Path, number: int, x: Tensor, place: Path) -> np.ndarray:
    """Run an example of a folder's README on a waveform, without torch; return its `x_hat`."""
    example = (graphs / "README.md").read_text().split("```python\n")[1 + number].split("```")[0]
    for file in graphs.glob("*.onnx"):
        (place / file.name).symlink_to(file)
    with wave.open(str(place / "speech.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((x * 32767).short().numpy().tobytes())
    before = "import sys; sys.modules['torch'] = sys.modules['audiovq'] = None\n"
    code = f"{before}{example}\nnp.save('x_hat.npy', x_hat)\n"
    subprocess.run([sys.executable, "-c", code], cwd=place, check=True)
    return np.load(place / "x_hat.npy")


def main(folder: str, *names: str) -> None:
    """Save and export models by name, below a folder."""
    from audiovq.export.write import export

    torch.set_num_threads(1)
    for name in names:
        model = make(name)
        model.save(Path(folder) / name / "model")
        export(model, Path(folder) / name / "graphs")
