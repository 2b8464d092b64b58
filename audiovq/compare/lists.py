"""Lists of models: configs of the recipe `compare`, which may also say how to compare them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from audiovq import config as configs
from audiovq import share
from audiovq.errors import ConfigError

RECIPE = "compare"


def read(path: Path) -> dict[str, Any] | None:
    """Return what a list states, or None if the file is of another recipe.

    Raises:
        ConfigError: it names no model, or holds a key or value that is not accepted.
    """
    values = configs.read_yaml(path)
    if values.get("recipe") != RECIPE:
        return None
    config = configs.parse(share.load_recipe(RECIPE).Config, values, str(path))
    stated: dict[str, Any] = config.model_dump(mode="json", exclude_unset=True, exclude={"recipe"})
    if not stated.get("models"):
        raise ConfigError(f"{path} lists no model: give `models: [autoencoder/ae, ...]`")
    return stated


def complete(given: Mapping[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    """Return what the user gave, completed by what the lists among the models state.

    Args:
        given: settings of a comparison; None: not given. `settings` are laid over the lists' own.
        texts: the models, as typed.

    Raises:
        ConfigError: two lists state different values, and the user none.
    """
    values = {k: v for k, v in given.items() if v is not None}
    stated: dict[str, tuple[str, Any]] = {}
    for text in texts:
        for key, value in _stated(text).items():
            other, old = stated.setdefault(key, (text, value))
            if key not in {*values, "models"} and old != value:
                raise ConfigError(
                    f"{key} is {old!r} in {other} and {value!r} in {text}: give it on the command "
                    f"line, or compare one list at a time"
                )
    defaults = {k: v for k, (_, v) in stated.items() if k != "models"}
    together = [*defaults.get("settings", ()), *values.get("settings", ())]
    return {**defaults, **values, "settings": together}


def _stated(text: str) -> dict[str, Any]:
    """Return what a list states; {} for a model, which may have a label and overrides."""
    if not Path(text).is_file() and {"@", "+"} & set(text):
        return {}
    return read(share.config_path(text)) or {}
