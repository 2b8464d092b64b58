"""Every shipped config loads, builds and says what its comment says."""

import pytest
import yaml

from audiovq import config as configs
from audiovq import share
from audiovq.autoencoder import Autoencoder
from audiovq.config import Config

NAMES = share.configs()


def load(name):
    values = configs.read_yaml(share.config_path(name))
    return configs.parse(share.load_recipe(values["recipe"]).Config, values, name)


@pytest.mark.parametrize("name", NAMES)
def test_every_config_loads_builds_and_round_trips(name):
    config = load(name)
    again = configs.parse(type(config), yaml.safe_load(configs.to_yaml(config)))
    assert again == config
    if "gpu" not in name:
        model = Autoencoder(config.model)
        assert model.sample_rate == 16000
    assert share.config_path(name).read_text().startswith("#")


@pytest.mark.parametrize(
    ("name", "frame_rate", "codes"),
    [("vq_ema", 50, 512), ("vq_64x", 250, 512), ("vq_128x", 125, 128), ("vq_640x", 25, 128)],
)
def test_rates_are_those_of_the_papers(name, frame_rate, codes):
    model = Autoencoder(load(name).model)
    assert model.frame_rate == frame_rate
    assert model.codebook_sizes == (codes,)


def test_variants_state_only_what_differs():
    for name in NAMES:
        lines = share.config_path(name).read_text().splitlines()
        assert name.endswith("base") or "extends:" in "".join(lines)
        assert len(lines) <= 24


def fields(model: type[Config], prefix=""):
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}", field
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Config):
            yield from fields(kind, f"{prefix}{name}.")


def test_every_field_has_a_default_and_a_description():
    recipe = share.load_recipe("train_autoencoder").Config
    for path, field in fields(recipe):
        assert not field.is_required(), path
        assert field.description, path
