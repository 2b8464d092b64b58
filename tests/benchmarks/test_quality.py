"""The scripts of benchmarks/quality: equal terms, every entry takes steps, a study in small."""

import importlib
import json
import re
import sys
from pathlib import Path

import pytest
import torch

from audiovq import registry
from audiovq.autoencoder import Autoencoder
from audiovq.eval.systems import ModelSystem

pytest.importorskip("transformers")
pytest.importorskip("vector_quantize_pytorch")

FOLDER = Path(__file__).parents[2] / "benchmarks" / "quality"
SMALL = (
    "data.batch_size=2", "data.segment_seconds=0.1", "train.initialise_batches=1",
    "train.validation_utterances=1", "train.validation_seconds=0.5", "train.device=cpu",
    "log.progress=false", "log.every=1", "log.snapshots=0",
)  # fmt: skip


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """The scripts' own imports, as if they were run; nothing of it is left behind."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(FOLDER)
    yield
    for name in {"_study", "peers", "losses", "_common", "adversarial"} - before:
        sys.modules.pop(name, None)


def entries(script):
    return importlib.import_module(script).ENTRIES


def weights(config):
    with registry.plugins(None):
        model = Autoencoder(config)
    return sum(p.numel() for part in (model.encoder, model.decoder) for p in part.parameters())


def test_architectures_have_equal_weights_and_codes():
    configs = {e.name: e.resolved().model for e in entries("peers")}
    found = {name: weights(config) for name, config in configs.items()}
    assert max(found.values()) / min(found.values()) <= 1.05, found
    for config in configs.values():
        with registry.plugins(None):
            model = Autoencoder(config)
        assert model.codebook_sizes == (1024,) * 12
        assert model.bitrate == 6000
        assert config.bottleneck.dropout == 0.5


def test_figures_in_comments_are_what_is_built():
    for entry in entries("peers"):
        text = (FOLDER / "configs" / f"{entry.config}.yaml").read_text()
        said = float(re.search(r"([\d.]+) M\s+(?:# )?weights", text)[1])
        assert said == pytest.approx(weights(entry.resolved().model) / 1e6, abs=6e-4)


@pytest.mark.parametrize("script", ["peers", "losses"])
def test_runs_differ_in_one_thing(script):
    configs = [e.resolved().model_dump() for e in entries(script)]
    may = {"peers": "model", "losses": "loss adversarial"}[script].split()
    if script == "peers":
        assert {c["optim"].pop("lr") for c in configs} == {2e-3, 5e-4}  # each the better for it
    first = {k: v for k, v in configs[0].items() if k not in may}
    assert all({k: v for k, v in c.items() if k not in may} == first for c in configs)
    assert len({str(c) for c in configs}) == len(configs)


@pytest.mark.parametrize("name", ["stft", "istft", "conv", "encodec", "dac"])
def test_every_architecture_takes_two_steps(name):
    from _study import LEARNS, PLAIN, Entry, make, noise

    from audiovq import share

    entry = Entry(name, "", name, ("loss.n_ffts=[256]", "loss.n_mels=[20]"))
    step, _ = make(share.load_recipe("train_adversarial"), entry.resolved())
    for phase in (PLAIN, LEARNS):
        step(phase, noise(2, 1600))


def test_steps_in_some_minutes_are_those_of_the_slowest():
    peers = importlib.import_module("peers")
    seconds = {"a": {"plain": 1.0, "adversarial": 2.0}, "b": {"plain": 2.0, "adversarial": 5.0}}
    assert peers.steps_in(25, seconds, "spectral") == 750
    assert peers.steps_in(25, seconds, "adversarial") == 350  # 1500 s of (2 + 5 + 5) / 3 s


def test_a_peer_has_prefixes():
    from _study import Entry

    for name in ("dac", "encodec"):
        sizes = ("model.bottleneck.codebook_size=16", "model.bottleneck.num_codebooks=4")
        with registry.plugins(None):
            model = Autoencoder(Entry(name, "", name, sizes).resolved().model).eval()
        model.bottleneck.initialise(torch.randn(2, model.bottleneck.in_channels, 20))
        short, x = ModelSystem(model, name, 2), 0.1 * torch.randn(1, 1, 3200)
        wanted = model.decode(model.encode(x)[:, :2], 3200)
        torch.testing.assert_close(short.render(x, x, "x").x_hat, wanted)
        assert short.bitrate == model.bitrate / 2


@pytest.mark.slow
@pytest.mark.parametrize("script", ["peers", "losses"])
def test_a_study_goes_on_and_gives_a_table(script, speech_manifest, tmp_path, capsys):
    main = importlib.import_module(script).main
    small = ["loss.n_ffts=[256]", "loss.n_mels=[20]"] if script == "peers" else []
    words = [
        str(speech_manifest.path), "-o", str(tmp_path / "study"), "--steps", "3", "--rounds", "1",
        "--utterances", "2", *SMALL, *small,
    ]  # fmt: skip
    names = [e.name for e in entries(script)]
    main([*words[:1], "--only", names[0], *words[1:]])
    one = json.loads((tmp_path / "study" / "table.json").read_text())
    assert {s["name"] for s in one["systems"]} == {names[0]}
    stamp = (tmp_path / "study" / names[0] / "model" / "model.safetensors").stat().st_mtime_ns
    main(words)
    whole = json.loads((tmp_path / "study" / "table.json").read_text())
    assert [(s["codebooks"], s["name"]) for s in whole["systems"]] == [
        (k, n) for k in (2, 4, 8, 12) for n in names
    ]
    assert [s["bitrate"] for s in whole["systems"]][::4] == [1000, 2000, 4000, 6000]
    again = (tmp_path / "study" / names[0] / "model" / "model.safetensors").stat().st_mtime_ns
    assert stamp == again  # what was trained is not trained again
    assert all(s["values"]["log_mel_distance"]["value"] > 0 for s in whole["systems"])
    assert (tmp_path / "study" / "table.md").read_text().count("\n| ") == 1 + 4 * len(names)
    assert "<audio" in (tmp_path / "study" / "listen.html").read_text()
    capsys.readouterr()
