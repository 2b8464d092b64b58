"""Models that come with audiovq: by name wherever a path is taken, and fit to be there."""

import re
import subprocess
import sys

import pytest
import soundfile
import torch

import audiovq
from audiovq import prior as priors
from audiovq import shipped
from audiovq.audio import save
from audiovq.cards import front
from audiovq.errors import CheckpointError
from tests import boxes
from tests.helpers import noise, small_model

MOST_BYTES = 12_000_000
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    return boxes.fill(tmp_path_factory.mktemp("box"))


@pytest.fixture
def box(filled, monkeypatch, tmp_path):
    boxes.use(monkeypatch, filled)
    monkeypatch.chdir(tmp_path)
    return filled


def test_what_is_there(box):
    found = audiovq.models()
    assert list(found) == ["tiny-ae", "tiny-prior", "tiny-vq"] == shipped.names()
    vq, prior, ae = (found[n] for n in ("tiny-vq", "tiny-prior", "tiny-ae"))
    model = audiovq.load("tiny-vq")
    assert (vq.kind, prior.kind, ae.kind) == ("autoencoder", "prior", "autoencoder")
    assert vq.fingerprint == model.fingerprint() == prior.model_hash
    assert prior.model == "tiny-vq"
    assert (vq.bitrate, vq.codebook_sizes, vq.frame_rate) == (6400.0, (16,), 1600.0)
    assert prior.bitrate == vq.bitrate
    assert ae.bitrate is None
    assert vq.license == "cc-by-4.0"
    assert vq.size == sum(p.stat().st_size for p in vq.folder.iterdir())
    assert str(vq).startswith("tiny-vq  a tiny model (autoencoder; 6400 bit/s; ")
    assert shipped.names("prior") == ["tiny-prior"]


def test_listing_needs_no_torch():
    code = "import sys, audiovq; audiovq.models(); print('torch' in sys.modules)"
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_an_empty_box(monkeypatch, tmp_path):
    boxes.use(monkeypatch, tmp_path / "none")
    assert audiovq.models() == {}
    with pytest.raises(CheckpointError, match=r"no model at tiny-vq: .* training run$"):
        audiovq.load("tiny-vq")


def test_names_load_and_paths_come_first(box, tmp_path):
    ours = audiovq.load("tiny-vq").fingerprint()
    assert priors.load("tiny-prior").about.codes.model_hash == ours
    small_model(seed=5).save(tmp_path / "tiny-vq")
    assert audiovq.load("tiny-vq").fingerprint() == small_model(seed=5).fingerprint() != ours
    (tmp_path / "tiny-ae").mkdir()
    with pytest.raises(CheckpointError, match="the one of that name is hidden by the path"):
        audiovq.load("tiny-ae")


@pytest.mark.parametrize(
    "name",
    ["other", "../x", "../tiny-vq", "tiny-vq/../tiny-vq", "tiny-vq/config.json", "TINY-VQ", "x\0y",
     "/tiny-vq", "tiny-vq/model", "~", "*", "n" * 5000],
)  # fmt: skip
def test_other_names_and_path_tricks_name_what_there_is(box, name):
    with pytest.raises(CheckpointError) as caught:
        audiovq.load(name)
    assert "audiovq: tiny-ae, tiny-vq" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match="no prior at .* audiovq: tiny-prior"):
        priors.load(name)


def test_a_prior_is_no_model_and_a_model_no_prior(box):
    with pytest.raises(CheckpointError, match="not the config of an audiovq model: it is a prior"):
        audiovq.load("tiny-prior")
    with pytest.raises(CheckpointError, match="not the config of an audiovq prior: it is a model"):
        priors.load("tiny-vq")


def test_one_without_a_card_is_listed_and_loads(box, monkeypatch, tmp_path):
    small_model().save(tmp_path / "box" / "bare")
    boxes.use(monkeypatch, tmp_path / "box")
    assert str(audiovq.models()["bare"]).startswith("bare  no card (autoencoder;")
    assert audiovq.load("bare").num_codebooks == 1


def test_commands_take_names(box, run, tmp_path):
    save(tmp_path / "a.wav", noise(1, 700), 16000)
    assert run("ls", "models")[1].splitlines() == [str(m) for m in audiovq.models().values()]
    assert run("resynth", "tiny-vq", "a.wav", "-o", "out.wav")[0] == 0
    assert soundfile.info("out.wav").frames == 700
    packed = ("--model", "tiny-vq", "--prior", "tiny-prior")
    assert run("encode", "a.wav", "a.avq", *packed)[0] == 0
    assert run("decode", "a.avq", "b.wav", *packed)[0] == 0
    code, out, err = run("resynth", "none", "a.wav", "-o", "c.wav")
    assert (code, out) == (2, "")
    assert err.startswith("error: no model at none: ")
    assert len(err.splitlines()) == 1


def test_units_of_a_named_model_are_extracted_once_and_found_again(box, run, tmp_path):
    (tmp_path / "speech").mkdir()
    save(tmp_path / "speech" / "a.wav", noise(1, 8000), 16000)
    from audiovq import units
    from audiovq.units.sources import reopen

    words = ("extract", "tiny-vq", "speech", "-o", "units", "--shards", "jsonl")
    code, out, err = run(*words)
    assert code == 0, err
    assert run(*words)[1] == out
    found = units.load("units")
    assert found.metadata.made_from["source"] == "tiny-vq"
    assert reopen(found).fingerprint() == audiovq.models()["tiny-vq"].fingerprint


def test_copies(box, run, tmp_path):
    code, out, _ = run("cp", "tiny-vq", "mine")
    assert code == 0
    assert {p.rpartition("/")[2] for p in out.split()} == {
        "README.md", "config.json", "model.safetensors"
    }  # fmt: skip
    assert audiovq.load(tmp_path / "mine").fingerprint() == audiovq.load("tiny-vq").fingerprint()
    assert "exists already" in run("cp", "tiny-vq", "mine")[2]
    small_model(seed=3).save(tmp_path / "runs" / "model")
    (tmp_path / "runs" / "model" / "README.md").write_text("of the whole one")
    assert run("cp", "runs", "small", "--half")[0] == 0
    assert not (tmp_path / "small" / "README.md").exists()  # it was of other weights
    assert audiovq.load("small").fingerprint() != audiovq.load("runs").fingerprint()
    assert run("cp", "small", "again", "--half")[0] == 0
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "small" / name).read_bytes()
    assert "--half is for models" in run("cp", "autoencoder/ae", "x", "--half")[2]
    (tmp_path / "a_file").touch()
    assert "a_file is a file" in run("cp", "tiny-vq", "a_file")[2]
    weights = tmp_path / "mine" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-3])
    assert "cut off" in run("cp", "mine", "other")[2]
    assert not (tmp_path / "other").exists()


def test_all_of_the_real_box_is_small_enough():
    files = [p for p in shipped.FOLDER.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= MOST_BYTES
    assert {p.name for p in files} <= {"config.json", "model.safetensors", "README.md"}
    assert {p.parent.parent for p in files} <= {shipped.FOLDER}


@pytest.mark.parametrize("name", shipped.names())
def test_each_of_the_real_box_loads_and_is_what_its_card_says(name):
    found = audiovq.models()[name]
    loaded = priors.load(name) if found.kind == "prior" else audiovq.load(name)
    assert NAME.fullmatch(name)
    assert loaded.fingerprint() == found.fingerprint
    assert found.license
    assert found.data
    assert found.summary != "no card"
    values = front.parse(found.folder / "README.md")
    assert values["audiovq"]["name"] == name
    assert values["audiovq"]["storage"] == "float16"
    assert values["datasets"]
    assert values["model-index"][0]["results"][0]["metrics"]
    card = (found.folder / "README.md").read_text("utf-8")
    for section in ("What it is", "Use", "For", "Data", "Training", "Figures", "Limits"):
        assert f"## {section}\n" in card
    assert "Not stated." not in card
    assert "not recorded" not in card
    if found.kind == "prior":
        assert audiovq.models()[found.model].fingerprint == found.model_hash
    else:
        x = noise(1, 8000)
        assert torch.isfinite(loaded.reconstruct(x)).all()
