import pytest

from audiovq import share
from audiovq.errors import ConfigError


def test_names_and_paths_resolve(tmp_path):
    assert {"autoencoder/base", "autoencoder/vq_ema"} <= set(share.configs())
    expected = share.folder("configs") / "autoencoder" / "vq_ema.yaml"
    for name in ("autoencoder/vq_ema", "vq_ema", "configs/autoencoder/vq_ema.yaml"):
        assert share.config_path(name).resolve() == expected.resolve()
    own = tmp_path / "mine.yaml"
    own.write_text("a: 1\n")
    assert share.config_path(str(own)) == own


def test_a_name_that_two_folders_share_is_that_of_the_command():
    assert share.config_path("smoke").parent.name == "autoencoder"
    assert share.config_path("smoke", "prior").parent.name == "prior"
    assert share.config_path("vq_ema", "prior").parent.name == "autoencoder"
    assert share.config_path("autoencoder/smoke", "prior").parent.name == "autoencoder"


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ConfigError, match="autoencoder/vq_ema"):
        share.config_path("vq_emma")
    with pytest.raises(ConfigError, match="known: .*train_autoencoder"):
        share.load_recipe("../etc/passwd")


def test_an_installed_package_finds_them_inside_itself(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "audiovq"
    (package / "_share" / "configs" / "x").mkdir(parents=True)
    (package / "_share" / "configs" / "x" / "y.yaml").write_text("")
    monkeypatch.setattr(share, "_PACKAGE", package)
    assert share.configs() == ["x/y"]


def test_an_installation_without_the_demo_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(share, "_PACKAGE", tmp_path / "audiovq")
    monkeypatch.delitem(share.sys.modules, "demo_app", raising=False)
    with pytest.raises(ConfigError, match="not part of this installation"):
        share.load_demo()
