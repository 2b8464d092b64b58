import importlib
import sys

import pytest
import torch

from audiovq import registry
from audiovq.autoencoder import Autoencoder, AutoencoderConfig
from audiovq.config import ComponentConfig, parse
from audiovq.errors import CheckpointError, ConfigError
from audiovq.release import load
from tests.helpers import SMALL, noise

PLUGIN = '''
"""Rounds every value to a grid: a bottleneck in one file."""
from audiovq.bottlenecks._base import Bottleneck, BottleneckOutput, Context
from audiovq.config import ComponentConfig


class Config(ComponentConfig):
    step: float = 0.5


class Rounding(Bottleneck):
    def __init__(self, config):
        super().__init__()
        self.step, self.in_channels, self.out_channels = config.step, 3, 3

    def forward(self, z, context=Context()):
        rounded = z + ((z / self.step).round() * self.step - z).detach()
        return BottleneckOutput(z=rounded, loss=z.new_zeros(z.shape[0], z.shape[2]))
'''


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A package with one bottleneck, importable as `their_package.rounding`."""
    package = tmp_path / "their_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "rounding.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield "their_package.rounding"
    for name in [n for n in sys.modules if n.startswith("their_package")]:
        del sys.modules[name]


@pytest.mark.parametrize("kind", registry.kinds())
def test_every_file_is_one_component_with_a_described_config(kind):
    assert registry.names(kind)
    for name in registry.names(kind):
        found = registry.get(kind, name)
        assert issubclass(found.config, ComponentConfig)
        assert found.cls.__doc__
        described = {n: f.description for n, f in found.config.model_fields.items() if n != "name"}
        assert all(described.values()), f"{kind}/{name}: {described}"


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"'vq_em'; known: bsq, .*did you mean 'vq_ema'"):
        registry.get("bottlenecks", "vq_em")


def test_a_plugin_loads_only_where_the_user_typed_it(plugin, tmp_path):
    values = {**SMALL, "bottleneck": {"name": plugin, "step": 0.25}}
    with pytest.raises(ConfigError, match="if you trust it"):
        parse(AutoencoderConfig, values)
    with registry.plugins(None):
        model = Autoencoder(parse(AutoencoderConfig, values))
    model.save(tmp_path / "model")
    # A received folder cannot name code ...
    with pytest.raises(CheckpointError, match="if you trust it"):
        load(tmp_path / "model")
    # ... unless the user does.
    again = load(tmp_path / "model", plugins=[plugin])
    assert again.fingerprint() == model.fingerprint()


def test_a_plugin_trains(plugin):
    with registry.plugins([plugin]):
        model = Autoencoder(parse(AutoencoderConfig, {**SMALL, "bottleneck": plugin}))
    x = noise(2, 400)
    before = (model(x).x_hat - x).square().mean()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        (model(x).x_hat - x).square().mean().backward()
        optimizer.step()
    assert (model(x).x_hat - x).square().mean() < 0.9 * before


def test_a_file_with_two_components_is_refused(plugin, tmp_path):
    (tmp_path / "their_package" / "two.py").write_text(PLUGIN + "\n\nclass B(Rounding): ...\n")
    with registry.plugins(None), pytest.raises(ConfigError, match="one public subclass"):
        registry.get("bottlenecks", "their_package.two")
    with registry.plugins(None), pytest.raises(ConfigError, match="cannot import"):
        registry.get("bottlenecks", "their_package.none")
