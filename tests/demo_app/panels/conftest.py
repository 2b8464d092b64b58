"""One server with tiny models, and one browser, for all tests of the page."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest
import torch

from audiovq import audio
from audiovq.autoencoder import Autoencoder, AutoencoderConfig
from audiovq.config import parse
from audiovq.prior import TrainedPrior
from audiovq.prior._release import About
from tests import boxes

EXAMPLE = Path(__file__).parents[3] / "demo_app" / "examples" / "LJ001-0011.flac"
SPEAKERS = ("ann", "bob", "cem")
CHROMIUM = os.environ.get("AUDIOVQ_CHROMIUM") or shutil.which("chromium") or ""
_SWITCHES = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--use-fake-device-for-media-stream --use-fake-ui-for-media-stream"
)  # the last two: a microphone that beeps, and nobody who has to allow it
_BOTTLENECKS = {
    "plain": {"name": "vq_ema", "dim": 6, "codebook_size": 8},
    "layers": {"name": "rvq", "dim": 6, "codebook_size": 8, "num_codebooks": 3},
    "smooth": {"name": "identity", "dim": 6},
}

needs_gradio = pytest.mark.skipif(
    not all(importlib.util.find_spec(n) for n in ("gradio", "matplotlib")),
    reason='the demo needs gradio and matplotlib: pip install "audiovq[demo]"',
)


def tiny(bottleneck: dict, decoder: dict | None = None) -> Autoencoder:
    """An untrained model of 50 frames per second that uses most of its codes."""
    conv = {"name": "conv", "channels": 4, "dilations": [1]}
    values = {
        "sample_rate": 16000,
        "encoder": {"name": "conv", "strides": [4, 4, 4, 5], "channels": 4, "dilations": [1]},
        "bottleneck": bottleneck,
        "decoder": conv if decoder is None else decoder | {"conv": conv},
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Autoencoder(parse(AutoencoderConfig, values)).eval()
        if model.is_discrete:
            model.bottleneck.initialise(model.encoder(audio.load(EXAMPLE, 16000)))
        for film in getattr(model.decoder, "films", ()):
            torch.nn.init.normal_(film.project.weight, std=0.5)
    return model


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> dict[str, Autoencoder]:
    """Tiny models by name; all but one have codes."""
    made = {name: tiny(bottleneck) for name, bottleneck in _BOTTLENECKS.items()}
    voices = {"name": "conv_speaker", "speakers": list(SPEAKERS), "speaker_dim": 3}
    voices["reference"] = {"channels": 8}
    return made | {"voices": tiny(_BOTTLENECKS["plain"], voices)}


@pytest.fixture(scope="session")
def folder(models, tmp_path_factory) -> Path:
    """The server's own folder of models, with a prior of the plain one."""
    root = tmp_path_factory.mktemp("models")
    for name, model in models.items():
        model.save(root / name)
    codes = {
        "model_hash": models["plain"].fingerprint(),
        "coder": "vq_ema",
        "sample_rate": 16000,
        "hop_length": 320,
        "codebook_sizes": [8],
    }
    prior = {"name": "lstm", "channels": 8}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        TrainedPrior.build(parse(About, {"prior": prior, "codes": codes})).save(root / "talker")
    return root


@pytest.fixture(scope="session")
def server(folder, tmp_path_factory):
    """The demo, on a free port, with these models and none that come with the package."""
    from demo_app import app, serve, style
    from demo_app.settings import Settings

    settings = Settings(
        port=0, models=(folder,), max_seconds=5.0, requests_per_second=1000, burst=10000
    )
    with pytest.MonkeyPatch.context() as patch:
        boxes.use(patch, tmp_path_factory.mktemp("box"))
        running = serve.launch(app.build, settings, style.looks())
    with running:
        yield running


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium."""
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("playwright is not installed: pip install playwright")
    if not CHROMIUM:
        pytest.skip("no Chromium: apt-get install chromium, or name one in AUDIOVQ_CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=CHROMIUM, args=_SWITCHES.split())
        yield started
        started.close()


@pytest.fixture(scope="session")
def recording(tmp_path_factory) -> Path:
    """Two seconds of real speech as a 16-bit WAV file at 16 kHz."""
    path = tmp_path_factory.mktemp("speech") / "two seconds.wav"
    audio.save(path, audio.load(EXAMPLE, 16000)[..., :32000], 16000)
    return path
