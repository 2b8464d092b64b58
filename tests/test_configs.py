"""Every shipped config loads, builds and says what its comment says."""

import pytest
import torch
import yaml

from audiovq import config as configs
from audiovq import registry, share
from audiovq.autoencoder import Autoencoder
from audiovq.config import Config
from audiovq.discriminators._all import Discriminators

LISTS = [n for n in share.configs() if n.startswith("compare/")]
PRIORS = [n for n in share.configs() if n.startswith("prior/")]
SHIPPED = [n for n in share.configs() if n.startswith("shipped/")]
NAMES = [n for n in share.configs() if n not in LISTS + PRIORS + SHIPPED]


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


@pytest.mark.parametrize("name", PRIORS)
def test_every_config_of_a_prior_loads_builds_and_round_trips(name):
    config = load(name)
    again = configs.parse(type(config), yaml.safe_load(configs.to_yaml(config)))
    assert again == config
    found = registry.owner("priors", config.prior)
    assert found.cls(config.prior, (512,)).codebook_sizes == (512,)
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
    for name in NAMES + PRIORS:
        lines = share.config_path(name).read_text().splitlines()
        assert name.endswith("base") or "extends:" in "".join(lines)
        assert len(lines) <= 24


@pytest.mark.parametrize("name", LISTS)
def test_every_list_of_models_names_configs_that_can_be_compared(name, speech_manifest, tmp_path):
    from audiovq.compare import plan

    config = load(name)
    runs = plan.runs_of(plan.entries(config.models), (0,), tmp_path, (), speech_manifest)
    plan.refuse_unequal_terms(runs)
    assert len(runs) >= 2


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_model_is_described_and_can_be_made(name):
    config = load(name)
    assert name == f"shipped/{config.name.replace('-', '_')}"
    assert share.config_path(name).read_text().startswith("#")
    assert config.config in NAMES + PRIORS
    assert not config.codes_of or f"shipped/{config.codes_of.replace('-', '_')}" in SHIPPED
    assert bool(config.codes_of) == (config.config in PRIORS)
    assert all(config.card.model_dump().values())
    if config.config in NAMES:  # 2 bytes a weight; all shipped together are at most 12 MB
        model = Autoencoder(load(config.config).model)
        assert model.frame_rate == 50
        assert 2 * model.num_parameters < 4e6


def fields(model: type[Config], prefix=""):
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}", field
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Config):
            yield from fields(kind, f"{prefix}{name}.")


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("adversarial/")])
def test_discriminators_are_as_wide_as_said(name):
    config = load(name)
    with torch.device("meta"):
        made = Discriminators(config.discriminators)
    millions = sum(p.numel() for p in made.parameters()) / 1e6
    assert len(made.labels) == (3 if name.endswith("smoke") else 8)
    # 41.1 M of HiFi-GAN's periods and 1.3 M of three resolutions; an eighth of the channels: 1/64
    least, most = (42, 43) if "gpu" in name else (0, 0.7)
    assert least < millions < most


@pytest.mark.parametrize(
    "recipe", ["train_autoencoder", "train_adversarial", "train_prior", "compare", "ship"]
)
def test_every_field_has_a_default_and_a_description(recipe):
    for path, field in fields(share.load_recipe(recipe).Config):
        assert not field.is_required(), path
        assert field.description, path


@pytest.mark.parametrize(
    "kind", ["encoders", "bottlenecks", "decoders", "discriminators", "priors"]
)
def test_every_field_of_a_component_has_a_default_and_a_description(kind):
    for name in registry.names(kind):
        for path, field in fields(registry.get(kind, name).config):
            assert not field.is_required(), (name, path)
            assert field.description, (name, path)
