"""Features of transformers models: tiny ones, made here; nothing is downloaded."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from audiovq.errors import AudioError, CheckpointError, ConfigError
from audiovq.units.features import transformers as ours
from audiovq.units.features.transformers import TransformersFeatures, parse
from tests.helpers import noise

hf = pytest.importorskip("transformers")

TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "num_feat_extract_layers": 7,
}
LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}


def make(folder, kind="Hubert", preprocessor=None, **changes):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = getattr(hf, f"{kind}Config")(**{**TINY, **changes})
        model = getattr(hf, f"{kind}Model")(config).eval()
    model.save_pretrained(folder)
    if preprocessor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return model


@pytest.fixture
def short(monkeypatch):
    """Long audio begins at 3 s."""
    for name, seconds in (("_WHOLE", 3), ("_CORE", 1), ("_CONTEXT", 1)):
        monkeypatch.setattr(ours, name, seconds)


def overhung(x, T):
    """x with 40 zeros before it, and as many after it as T frames of 400 samples need."""
    before = torch.zeros(1, 40)
    return torch.cat([before, x[0], torch.zeros(1, 320 * (T - 1) + 400 - 40 - x.shape[-1])], dim=1)


@pytest.mark.parametrize(
    ("kind", "changes"), [("Hubert", {}), ("WavLM", LARGE), ("Wav2Vec2", LARGE), ("Hubert", LARGE)]
)
def test_they_are_the_models_hidden_states_on_centred_frames(tmp_path, kind, changes):
    model = make(tmp_path, kind, **changes)
    features = TransformersFeatures(tmp_path, 2)
    assert (features.sample_rate, features.hop_length, features.dim) == (16000, 320, 16)
    assert features.label == f"{kind.lower()} layer 2"
    for length in (1, 319, 320, 321, 5000):
        x, T = noise(1, length, seed=length), -(-length // 320)
        wave = x
        if changes:  # those of the large kind are trained on waveforms of unit variance
            wave = torch.from_numpy(np.asarray((x - x.mean()) / np.sqrt(x.numpy().var() + 1e-7)))
        with torch.no_grad():
            states = model(overhung(wave, T), output_hidden_states=True).hidden_states
        found = features(x)
        assert found.shape == (T, 16)
        torch.testing.assert_close(found, states[2][0], rtol=1e-4, atol=1e-5)


def test_every_layer_is_the_models_own(tmp_path):
    model = make(tmp_path, **LARGE)  # whose last hidden state is normalised once more
    x = noise(1, 3200)
    wave = (x - x.mean()) / (x.var(correction=0) + 1e-7).sqrt()
    with torch.no_grad():
        states = model(overhung(wave, 10), output_hidden_states=True).hidden_states
    found = [TransformersFeatures(tmp_path, n)(x) for n in range(5)]
    for one, state in zip(found, states, strict=True):
        torch.testing.assert_close(one, state[0], rtol=1e-4, atol=1e-5)
    assert TransformersFeatures(tmp_path).layer == 3
    prints = {TransformersFeatures(tmp_path, n).fingerprint() for n in range(5)}
    assert len(prints) == 5


def test_the_preprocessor_config_decides_rate_and_normalisation(tmp_path):
    make(tmp_path, preprocessor={"do_normalize": True, "sampling_rate": 8000})
    features = TransformersFeatures(tmp_path)
    x = noise(1, 4000)
    assert features.sample_rate == 8000
    torch.testing.assert_close(features(x), features(0.1 * x), rtol=1e-2, atol=1e-3)
    (tmp_path / "preprocessor_config.json").write_text('{"do_normalize": false}')
    plain = TransformersFeatures(tmp_path)
    assert plain.sample_rate == 16000
    assert plain.fingerprint() != features.fingerprint()
    assert not torch.allclose(plain(x), features(x), rtol=1e-2, atol=1e-3)


def test_streams_give_the_same_bits_and_hear_their_context(tmp_path, short):
    make(tmp_path, preprocessor={"do_normalize": True})
    features = TransformersFeatures(tmp_path)
    for length in (16000, 3 * 16000, 3 * 16000 + 1, 5 * 16000 + 77, 6 * 16000):
        x = noise(1, length, seed=length)
        whole = features(x)
        assert whole.shape[0] == -(-length // 320)
        for size in (997, 16000, 50000):
            assert torch.equal(torch.cat(list(features.blocks(x.split(size, -1)))), whole)
    # frames 50..99 of 5 s hear seconds 0 to 3 and nothing else
    x = noise(1, 5 * 16000)
    alone = features._compute(x[0, 0, : 3 * 16000], 150)[50:100]
    assert torch.equal(features(x)[50:100], alone)


def test_streams_hold_a_bounded_stretch(tmp_path, short):
    make(tmp_path)
    features, longest = TransformersFeatures(tmp_path), 0
    compute = features._compute

    def watched(x, frames):
        nonlocal longest
        longest = max(longest, len(x))
        return compute(x, frames)

    features._compute = watched
    frames = sum(len(p) for p in features.blocks(noise(1, 8000, seed=i) for i in range(40)))
    assert (frames, longest) == (1000, 3 * 16000)


def test_paths_may_name_a_layer(tmp_path):
    assert parse("a/b:9") == (parse("a/b")[0], 9)
    assert parse("a/b:x") == (tmp_path.__class__("a/b:x"), None)
    (tmp_path / "m:3").mkdir()
    assert parse(str(tmp_path / "m:3")) == (tmp_path / "m:3", None)


def test_a_pickle_is_not_read(tmp_path):
    model = make(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="not read.*save_pretrained"):
        TransformersFeatures(tmp_path)


def test_folders_that_cannot_be_used_say_why_in_one_line(tmp_path):
    def refused(what):
        with pytest.raises((CheckpointError, ConfigError), match=what) as caught:
            TransformersFeatures(tmp_path / "m")
        assert "\n" not in str(caught.value)

    refused("nothing is downloaded")
    make(tmp_path / "m")
    with pytest.raises(ConfigError, match="layers 1 to 4"):
        TransformersFeatures(tmp_path / "m", 5)
    (tmp_path / "m" / "preprocessor_config.json").write_text("{")
    refused("not JSON")
    (tmp_path / "m" / "preprocessor_config.json").write_text('{"sampling_rate": "16k"}')
    refused("sampling_rate of '16k'")
    (tmp_path / "m" / "preprocessor_config.json").unlink()
    good = (tmp_path / "m" / "model.safetensors").read_bytes()
    (tmp_path / "m" / "model.safetensors").write_bytes(good[: len(good) // 2])
    refused("no usable transformers model")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    (tmp_path / "m" / "model.safetensors").write_bytes(good)
    deeper = config | {"num_hidden_layers": 5}
    (tmp_path / "m" / "config.json").write_text(json.dumps(deeper))
    refused("lacks .* weights")
    remote = config | {"auto_map": {"AutoModel": "evil.Model"}, "model_type": "evil"}
    (tmp_path / "m" / "config.json").write_text(json.dumps(remote))
    (tmp_path / "m" / "evil.py").write_text("raise SystemExit('ran')")
    refused("no usable transformers model")


def test_other_kinds_of_model_are_refused(tmp_path):
    hf.BertModel(
        hf.BertConfig(
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            intermediate_size=8,
            vocab_size=9,
        )
    ).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="holds a bert; HuBERT"):
        TransformersFeatures(tmp_path)


def test_audio_that_is_not_finite_is_refused(tmp_path):
    make(tmp_path)
    with pytest.raises(AudioError, match="NaN"):
        TransformersFeatures(tmp_path)(torch.full((1, 1, 500), torch.inf))


@pytest.mark.slow
def test_it_loads_in_a_fresh_process(tmp_path):
    """Where nothing has imported torchaudio yet, which may refuse this build of torch."""
    make(tmp_path)
    code = (
        "import sys, torch; from audiovq.units.features.transformers import TransformersFeatures;"
        f"print(TransformersFeatures({str(tmp_path)!r})(torch.zeros(1, 1, 400)).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "torch.Size([2, 16])" in done.stdout, done.stderr
