"""save_pretrained and from_pretrained: offline, with a card, and a hub id only with its library."""

import shutil
import sys

import pytest

import audiovq
from audiovq import Autoencoder
from audiovq.cards import front
from audiovq.errors import CheckpointError, ConfigError
from audiovq.prior import TrainedPrior
from tests import boxes
from tests.helpers import noise, small_model


@pytest.fixture
def no_hub(monkeypatch):
    """huggingface_hub is not installed."""
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("bottleneck", ["vq_ema", {"name": "vae", "dim": 4}])
def test_round_trip_without_library_or_network(tmp_path, no_hub, bottleneck, half):
    model = small_model(bottleneck)
    model.save_pretrained(tmp_path / "mine", half=half, words=boxes.WORDS)
    assert {p.name for p in (tmp_path / "mine").iterdir()} == {
        "README.md", "config.json", "model.safetensors"
    }  # fmt: skip
    again = Autoencoder.from_pretrained(tmp_path / "mine")
    assert (again.fingerprint() == model.fingerprint()) == (not half)
    x = noise(1, 1000)
    apart = (again.reconstruct(x) - model.reconstruct(x)).abs()
    assert float((apart > 0.01).float().mean()) < (0.1 if half else 1e-9)  # a code may flip
    card = front.read(tmp_path / "mine")
    assert card.license == "cc-by-4.0"
    assert card.audiovq.fingerprint == again.fingerprint()
    assert card.audiovq.storage == ("float16" if half else "float32")
    again.save_pretrained(tmp_path / "mine", half=half)  # a card is replaced with its model
    assert front.read(tmp_path / "mine").license == ""
    assert Autoencoder.from_pretrained(str(tmp_path / "mine")).fingerprint() == again.fingerprint()


def test_priors_too(tmp_path, no_hub):
    prior = boxes.tiny_prior(small_model())
    prior.save_pretrained(tmp_path / "p")
    again = TrainedPrior.from_pretrained(tmp_path / "p")
    assert (
        again.fingerprint() == prior.fingerprint() == front.read(tmp_path / "p").audiovq.fingerprint
    )


def test_a_folder_without_a_card(tmp_path, no_hub):
    small_model().save(tmp_path)
    assert Autoencoder.from_pretrained(tmp_path).num_codebooks == 1


def test_names_of_the_box(tmp_path, no_hub, monkeypatch):
    boxes.use(monkeypatch, boxes.fill(tmp_path / "box"))
    assert Autoencoder.from_pretrained("tiny-vq").num_codebooks == 1
    assert TrainedPrior.from_pretrained("tiny-prior").about.prior.name == "wavenet"


def test_figures_are_those_of_the_stored_weights(tmp_path):
    model = small_model()
    path = tmp_path / "e.json"
    path.write_text(boxes.evaluation(model))
    model.save_pretrained(tmp_path / "whole", evaluations=[path])
    assert (
        "| log-mel distance | 5.25 | [5.00, 5.50] | dB |"
        in (tmp_path / "whole" / "README.md").read_text()
    )
    with pytest.raises(ConfigError, match="rounding to float16 makes another"):
        model.save_pretrained(tmp_path / "half", half=True, evaluations=[path])


def test_a_hub_id_needs_the_library(tmp_path, no_hub, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="ann/speech is no folder here; .*pip install hugg"):
        Autoencoder.from_pretrained("ann/speech")
    small_model().save(tmp_path / "ann" / "speech")  # what is there comes first
    assert Autoencoder.from_pretrained("ann/speech").num_codebooks == 1
    with pytest.raises(ConfigError, match="revision='main' is for OWNER/NAME on the hub"):
        Autoencoder.from_pretrained("ann/speech", revision="main")


def test_a_hub_id_is_fetched_by_the_library(tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.chdir(tmp_path)
    small_model().save_pretrained(tmp_path / "snapshot")
    asked = []

    def fetch(name, *, revision, allow_patterns):
        asked.append((name, revision, sorted(allow_patterns)))
        return str(shutil.copytree(tmp_path / "snapshot", tmp_path / "cache"))

    monkeypatch.setattr(hub, "snapshot_download", fetch)
    model = Autoencoder.from_pretrained("ann/speech", revision="v1")
    assert model.fingerprint() == small_model().fingerprint()
    assert asked == [("ann/speech", "v1", ["README.md", "config.json", "model.safetensors"])]

    def fail(*_, **__):
        raise RuntimeError("no\nnetwork")

    monkeypatch.setattr(hub, "snapshot_download", fail)
    with pytest.raises(CheckpointError, match="could not be fetched .* hub: no network"):
        Autoencoder.from_pretrained("ann/speech")


@pytest.mark.parametrize("name", ["none", "../x", "a/b/c", "/none", "./a/b", "a/../b"])
def test_what_is_neither_folder_nor_hub_id(name, tmp_path, monkeypatch, no_hub):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="no model at"):
        Autoencoder.from_pretrained(name)
    assert audiovq.models() is not None
