"""`audiovq train-prior` and `audiovq score` as a user meets them."""

import json
import random

import pytest

from tests.test_prior_recipe import TINY
from tests.units.made import made_units, metadata, write

SIZES = (8, 5)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with units of three splits, and the same of another model."""
    folder = tmp_path_factory.mktemp("prior")
    records = list(made_units(random.Random(0), SIZES, ids=[f"u{i}" for i in range(24)]))
    write(folder / "units", records, metadata(SIZES))
    other = metadata(SIZES).model_copy(update={"model_hash": "f" * 64})
    write(folder / "other", records, other)
    return folder


def test_train_and_score(run, place, tmp_path):
    words = [*TINY, f"codes={place / 'units'}", f"run.dir={tmp_path / 'run'}"]
    code, out, err = run("train-prior", "smoke", *words, "train.max_steps=2")
    assert (code, out) == (0, f"prior: {tmp_path / 'run' / 'model'}\n"), err
    code, out, err = run("score", tmp_path / "run", place / "units", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert {u["id"] for u in found["utterances"]} == {f"u{i}" for i in range(3, 24, 4)}
    code, out, _ = run("score", tmp_path / "run", place / "units", "--split", "all", "--each")
    assert code == 0
    assert "24 utterances" in out
    assert "\nu7 " in out
    code, out, err = run("score", tmp_path / "run", place / "other")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "codes of the model ffffffffffff" in err


def test_show_prints_what_would_run(run, place):
    code, out, _ = run("train-prior", "smoke", f"codes={place}", "optim.lr=1e-4", "--show")
    assert code == 0
    assert "recipe: train_prior" in out
    assert "lr: 0.0001" in out


def test_mistakes_are_one_line(run, place, tmp_path):
    for words, message in (
        (("train-prior", "smoke"), "codes is missing"),
        (("train-prior", "smoke", f"codes={place / 'nothing'}"), "no units.json in"),
        (("train-prior", "autoencoder/smoke"), "is of the recipe 'train_autoencoder'"),
        (("train-prior", "smoke", "prior.chanels=3"), "did you mean 'channels'"),
        (("train-prior", "smoke", "prior.name=wavnet"), "did you mean 'wavenet'"),
        (("score", tmp_path, place / "units"), "no prior at"),
    ):
        code, out, err = run(*words)
        assert (code, out, err.count("error: ")) == (2, "", 1), words
        assert message in err
