"""`audiovq card`, and what `audiovq ship` refuses; what it makes is in test_ship_recipe.py."""

import pytest

import audiovq
from audiovq.cards import front
from tests import boxes
from tests.helpers import small_model


def test_card(run, tmp_path):
    small_model().save(tmp_path / "m")
    (tmp_path / "e.json").write_text(boxes.evaluation(audiovq.load(tmp_path / "m")))
    (tmp_path / "w.yaml").write_text("license: cc-by-4.0\nsummary: of mine\n")
    words = ("card", tmp_path / "m", "--evaluation", tmp_path / "e.json", "--name", "mine")
    code, out, err = run(*words, "--words", tmp_path / "w.yaml")
    assert (code, out.strip()) == (0, str(tmp_path / "m" / "README.md")), err
    card = front.read(tmp_path / "m")
    assert (card.license, card.audiovq.summary, card.audiovq.name) == (
        "cc-by-4.0", "of mine", "mine"
    )  # fmt: skip
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("vq_ema", "m.jsonl"), "of the recipe 'train_autoencoder', not 'ship'"),
        (("none", "m.jsonl"), "no config 'none'"),
        (("vq_50hz", "m.jsonl", "name=../x"), "name: '../x' given; "),
        (("vq_50hz", "m.jsonl", "card.licence=mit"), "card.licence: unknown key"),
        (("vq_50hz", "m.jsonl"), "m.jsonl"),
    ],
)
def test_ship_refuses(run, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = run("ship", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_train_says_what_to_do_with_a_config_of_ship(run):
    code, _, err = run("train", "shipped/vq_50hz")
    assert code == 2
    assert "audiovq ship shipped/vq_50hz MANIFEST" in err
