"""Every bottleneck, encoder and decoder as ONNX, and real speech; minutes."""

import subprocess
import sys

import numpy as np
import onnxruntime
import pytest

import audiovq
from audiovq import audio, registry
from audiovq.autoencoder import Autoencoder, AutoencoderConfig
from audiovq.config import parse
from tests.export.conftest import ROOT
from tests.export.models import MORE, run_example
from tests.figures import FIGURES
from tests.helpers import noise

pytestmark = pytest.mark.slow
NAMES = [*registry.names("bottlenecks"), *MORE]


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    folder = tmp_path_factory.mktemp("family")
    code = "import sys; from tests.export.models import main; main(*sys.argv[1:])"
    command = [sys.executable, "-c", code, str(folder), *NAMES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def session(graphs, name):
    return onnxruntime.InferenceSession(str(graphs / f"{name}.onnx"))


@pytest.mark.parametrize("name", NAMES)
def test_every_one_gives_what_its_model_gives(family, name):
    graphs, model = family / name / "graphs", audiovq.load(family / name / "model")
    x = noise(2, 73 * model.hop_length // 10)
    encoder, decoder = (
        onnxruntime.InferenceSession(str(graphs / f"{part}.onnx"))
        for part in ("encoder", "decoder")
    )
    wanted = model.encode(x) if model.is_discrete else model.embed(x)
    (found,) = encoder.run(None, {"waveform": x.numpy()})
    assert np.abs(found - wanted.numpy()).max() <= (0 if model.is_discrete else 1e-5)
    given = {decoder.get_inputs()[0].name: wanted.numpy()}
    if model.speakers:
        given["speaker"] = np.array([0, 2])
    condition = model.speaker_index([None, "bob"]) if model.speakers else None
    decode = model.decode if model.is_discrete else model.decode_embedding
    (x_hat,) = decoder.run(None, given)
    assert np.abs(x_hat - decode(wanted, condition=condition).numpy()).max() < 1e-5


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("name", ["conv_causal", "spectra_causal"])
def test_a_stream_gives_what_all_at_once_gives(family, name, frames):
    graphs, model = family / name / "graphs", audiovq.load(family / name / "model")
    x = noise(2, 240)
    codes = model.encode(x)
    found = _stream(session(graphs, "encoder_stream"), "waveform", x.numpy(), 10 * frames)
    assert np.array_equal(found, codes.numpy())
    x_hat = _stream(session(graphs, "decoder_stream"), "codes", codes.numpy(), frames)
    assert np.abs(x_hat - model.decode(codes).numpy()).max() < 1e-6


def _stream(runtime, name, given, block):
    states = [i for i in runtime.get_inputs() if i.name.startswith("state_")]
    state = {i.name: np.zeros((len(given), *i.shape[1:]), np.float32) for i in states}
    assert state
    parts = []
    for start in range(0, given.shape[-1], block):
        part, *new = runtime.run(None, {name: given[..., start : start + block], **state})
        parts.append(part)
        state = dict(zip(state, new, strict=True))
    return np.concatenate(parts, axis=-1)


def test_the_live_example_of_the_readme_runs(family, tmp_path):
    graphs = family / "conv_causal" / "graphs"
    assert run_example(graphs, 1, noise(1, 100), tmp_path).shape == (1, 1, 10)


def test_real_speech_has_the_same_codes(speech_manifest, librispeech_root, tmp_path):
    """50 recordings through the command, and how many codes in how many differ."""
    files = sorted(librispeech_root.rglob("*.flac"))[:50]
    values = {"bottleneck": {"name": "vq_ema", "dim": 16}, "encoder": {"name": "stft"}}
    model = Autoencoder(parse(AutoencoderConfig, {**values, "decoder": {"name": "istft"}})).eval()
    heard = speech_manifest.load(speech_manifest.select("train")[0], 16000)
    whole = heard[..., : heard.shape[-1] // 320 * 320]
    model.bottleneck.initialise(model.encoder(whole).detach())
    model.save(tmp_path / "m")
    command = [sys.executable, "-m", "audiovq", "export", tmp_path / "m", "-o", tmp_path / "out"]
    checks = [word for file in files for word in ("--check", file)]
    done = subprocess.run(
        [*map(str, [*command, *checks]), "--format", "onnx"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    FIGURES.append(f"export of {len(files)} recordings: {done.stdout}")
    encoder = session(tmp_path / "out", "encoder")
    model = audiovq.load(tmp_path / "m")
    codes = differing = 0
    for file in files:
        x = audio.load(file, 16000)
        (found,) = encoder.run(None, {"waveform": x.numpy()})
        codes += found.size
        differing += int((found != model.encode(x).numpy()).sum())
    assert differing <= codes / 500
