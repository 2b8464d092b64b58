from pathlib import Path

import pytest
import yaml
from pydantic import Field

from audiovq import config
from audiovq.autoencoder import AutoencoderConfig
from audiovq.errors import ConfigError


class Inner(config.Config):
    rate: float = Field(1e-3, gt=0, description="learning rate")
    steps: int = Field(10, ge=1, description="steps")


class Outer(config.Config):
    model: AutoencoderConfig = Field(AutoencoderConfig(), description="the model")
    inner: Inner = Field(Inner(), description="the rest")


def test_every_error_is_told_at_once_with_path_and_nearest_name():
    values = {
        "model": {"bottleneck": {"name": "vq_ema", "decya": 0.9, "codebook_size": 1}},
        "iner": {},
        "inner": {"rate": "fast", "steps": 2.5},
    }
    with pytest.raises(ConfigError) as caught:
        config.parse(Outer, values, "my.yaml")
    text = str(caught.value)
    assert text.startswith("my.yaml: ")
    assert "\n" not in text
    assert "model.bottleneck.decya: unknown key; did you mean 'decay'?" in text
    assert "model.bottleneck.codebook_size: 1 given" in text
    assert "iner: unknown key; did you mean 'inner'?" in text
    assert "inner.rate: 'fast' given" in text
    assert "inner.steps: 2.5 given" in text


def test_an_unknown_component_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"model\.bottleneck.*'vq_emma'.*did you mean 'vq_ema'"):
        config.parse(Outer, {"model": {"bottleneck": "vq_emma"}})
    with pytest.raises(ConfigError, match="one of: bsq, .*, vq_ema"):
        config.parse(Outer, {"model": {"bottleneck": 3}})


def test_scientific_notation_is_a_number():
    # PyYAML reads 3e-4 as a string; the field's type decides.
    assert config.parse(Inner, yaml.safe_load("rate: 3e-4")).rate == 3e-4


def test_round_trip_through_yaml():
    values = {"model": {"bottleneck": {"name": "identity", "dim": 7}}, "inner": {"steps": 3}}
    parsed = config.parse(Outer, values)
    assert config.parse(Outer, yaml.safe_load(config.to_yaml(parsed))) == parsed


def test_extends_merges_and_a_renamed_component_starts_afresh(tmp_path):
    (tmp_path / "base.yaml").write_text(
        "inner: {steps: 5, rate: 0.1}\nmodel: {bottleneck: {name: vq_ema, decay: 0.5}}\n"
    )
    (tmp_path / "a.yaml").write_text("extends: base\ninner: {steps: 6}\n")
    (tmp_path / "b.yaml").write_text("extends: a\nmodel: {bottleneck: {name: identity}}\n")
    a = config.read_yaml(tmp_path / "a.yaml")
    assert a["inner"] == {"steps": 6, "rate": 0.1}
    assert config.read_yaml(tmp_path / "b.yaml")["model"] == {"bottleneck": {"name": "identity"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: self\n", "circle"),
        ("extends: ../other\n", "beside it"),
        ("- a\n- b\n", "key: value"),
        ("a: [1\n", "not YAML"),
        ("a: !!python/object/apply:os.system ['true']\n", "not YAML"),
        (f"a: {'x' * config.MAX_CONFIG_BYTES}\n", "larger than"),
    ],
)
def test_unusable_files_are_refused_in_words(tmp_path, text, message):
    (tmp_path / "self.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        config.read_yaml(tmp_path / "self.yaml")


def test_missing_file():
    with pytest.raises(ConfigError, match="cannot read"):
        config.read_yaml(Path("no/such.yaml"))


def test_overrides_are_read_as_yaml_in_order():
    values = config.override(
        {"model": {"bottleneck": "vq_ema"}},
        ["inner.steps=7", "model.bottleneck.decay=0.9", "inner.steps=8"],
    )
    parsed = config.parse(Outer, values)
    assert parsed.inner.steps == 8
    assert (parsed.model.bottleneck.name, parsed.model.bottleneck.decay) == ("vq_ema", 0.9)
    for wrong in ("steps", "=3", "a=[1"):
        with pytest.raises(ConfigError):
            config.override({}, [wrong])


def test_configs_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Inner().steps = 3
