"""How a model was trained, by its run folder."""

import json

import pytest
import yaml

from audiovq.cards import training
from audiovq.errors import ConfigError

CONFIG = {
    "recipe": "train_autoencoder",
    "data": {"manifest": "none.jsonl", "batch_size": 6, "segment_seconds": 1.0},
    "loss": {"mel": 1.0, "waveform_l1": 0.5, "stft": 0.0},
    "optim": {"lr": 2e-3, "warmup_steps": 100},
    "train": {"precision": "float32", "seed": 3},
    "best": {"metric": "validation/mel"},
    "log": {"every": 20},
}
LOG = [
    {"step": 20, "train/seconds_per_step": 90.0},
    {"step": 20, "validation/mel": 0.5},
    {"step": 40, "train/seconds_per_step": 90.0},
    {"step": 40, "validation/mel": 0.7},
]


@pytest.fixture
def run(tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(e) + "\n" for e in LOG))
    return tmp_path


def test_what_is_said(run):
    found = training.read(run, "audiovq ship x", part="best")
    assert found.data == ""  # the manifest is gone
    assert found.lines["steps"] == (
        "40; the weights are those of step 20, where `validation/mel` was lowest"
    )
    assert found.lines["time in steps"] == "1.00 h"
    assert found.lines["loss"] == "mel 1, waveform_l1 0.5"
    assert found.lines["batch"] == "6 segments of 1 s"
    assert found.lines["hardware"] == "not recorded"
    assert found.lines["command"] == "`audiovq ship x`"
    assert training.read(run).lines["steps"] == "40; `validation/mel` was lowest at step 20"
    assert training.read(run, hardware="a toaster").lines["hardware"] == "a toaster"


def test_the_machine_is_noted_before_a_run_begins_and_not_after(run, tmp_path):
    import torch

    training.record_machine(run, torch.device("cpu"))
    assert not (run / training.MACHINE).exists()  # who knows where it was trained
    training.record_machine(tmp_path / "new", torch.device("cpu"))
    text = (tmp_path / "new" / training.MACHINE).read_text()
    assert json.loads(text)["device"] == "cpu"
    (run / training.MACHINE).write_text(text)
    assert "torch" in training.read(run).lines["hardware"]
    (run / training.MACHINE).write_text("{")
    assert training.read(run).lines["hardware"] == "not recorded"


def test_the_corpus_is_counted(run, speech_manifest):
    config = CONFIG | {"data": CONFIG["data"] | {"manifest": str(speech_manifest.path)}}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    records = speech_manifest.select("train")
    hours = sum(r.num_samples / r.sample_rate for r in records) / 3600
    speakers = len({r.speaker for r in records})
    said = f"librispeech, {hours:.2f} h of {speakers} training speakers"
    assert training.read(run).data == said


def test_no_run_folder(tmp_path):
    with pytest.raises(ConfigError, match="is no run folder"):
        training.read(tmp_path)
