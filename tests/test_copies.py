"""Copies of configs and recipes load, and nothing of the user's is replaced."""

import pytest

from audiovq import share
from audiovq.config import read_yaml
from audiovq.copies import copy
from audiovq.errors import ConfigError


@pytest.mark.parametrize("name", share.configs())
@pytest.mark.parametrize("target", ["folder", "mine.yaml", "deep/er/mine.yaml"])
def test_every_config_loads_from_its_copy(tmp_path, name, target):
    written = copy(name, tmp_path / target)
    assert read_yaml(written[0]) == read_yaml(share.config_path(name))
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} == {p.name for p in written}


def test_two_configs_share_what_both_extend(tmp_path):
    copy("autoencoder/vq_ema", tmp_path)
    copy("autoencoder/ae", tmp_path)
    assert {p.stem for p in tmp_path.iterdir()} == {"vq_ema", "ae", "base"}


def test_a_changed_base_is_neither_replaced_nor_used(tmp_path):
    copy("autoencoder/vq_ema", tmp_path)
    (tmp_path / "base.yaml").write_text("recipe: mine\n")
    with pytest.raises(ConfigError, match=r"base\.yaml exists already"):
        copy("autoencoder/ae", tmp_path)
    assert not (tmp_path / "ae.yaml").exists()
    assert (tmp_path / "base.yaml").read_text() == "recipe: mine\n"


def test_a_copy_cannot_take_the_name_of_what_it_extends(tmp_path):
    with pytest.raises(ConfigError, match="is the name of a config that"):
        copy("autoencoder/vq_ema", tmp_path / "base.yaml")
    assert not list(tmp_path.iterdir())


def test_a_broken_config_of_ones_own(tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: nothing\n")
    with pytest.raises(ConfigError, match=r"nothing\.yaml"):
        copy(str(tmp_path / "mine.yaml"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", share.recipes())
def test_recipes_are_copied_whole(tmp_path, name):
    (path,) = copy(name, tmp_path / "my_recipe.py")
    assert path.read_bytes() == (share.folder("recipes") / f"{name}.py").read_bytes()
    with pytest.raises(ConfigError, match="exists already"):
        copy(name, path)
