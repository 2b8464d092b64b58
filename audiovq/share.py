"""Recipes, configs and the demo: found in a checkout beside the package, or inside it."""

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

from audiovq.errors import ConfigError

_PACKAGE = Path(__file__).parent


def folder(kind: str) -> Path:
    """Return the folder of `recipes`, `configs` or `demo_app`.

    A checkout's own comes first, so that editing it there has an effect.
    """
    checkout = _PACKAGE.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / kind).is_dir():
        return checkout / kind
    return _PACKAGE / "_share" / kind


def configs() -> list[str]:
    """Return the names of all configs, as `autoencoder/vq_ema`."""
    root = folder("configs")
    return sorted(p.relative_to(root).with_suffix("").as_posix() for p in root.rglob("*.yaml"))


def recipes() -> list[str]:
    """Return the names of all recipes."""
    return sorted(p.stem for p in folder("recipes").glob("*.py") if p.stem[0] != "_")


def scripts() -> list[str]:
    """Return the names of all shell scripts beside the recipes."""
    return sorted(p.stem for p in folder("recipes").glob("*.sh"))


def is_follower() -> bool:
    """Whether this process is one of several and not the first, by torchrun's or srun's word."""
    slurm = os.environ.get("SLURM_PROCID", "0") if "MASTER_ADDR" in os.environ else "0"
    return os.environ.get("RANK", slurm) != "0"


def config_path(name: str, first: str = "autoencoder") -> Path:
    """Return the file of a config, given its path, its name, or the last part of its name.

    Args:
        name: as typed.
        first: folder whose config is meant where several share that last part.

    Raises:
        ConfigError: there is none, or several share that last part.
    """
    if Path(name).is_file():
        return Path(name)
    known = configs()
    wanted = name.removesuffix(".yaml").removeprefix("configs/")
    named = [n for n in known if n.split("/")[-1] == wanted]
    exact = [n for n in known if n in {wanted, f"{first}/{wanted}"}]
    found = exact or named
    if len(found) == 1:
        return folder("configs") / f"{found[0]}.yaml"
    raise ConfigError(
        f"no config {name!r}: give a path, or one of {', '.join(found or known)} "
        f"(`audiovq ls configs`)"
    )


def is_config(name: str) -> bool:
    """Return whether a config is there by that path, name, or last part of a name."""
    try:
        config_path(name)
    except ConfigError:
        return False
    return True


def load_recipe(name: str) -> ModuleType:
    """Import a recipe by name; it holds a `Config` and a `main(config)`."""
    path = folder("recipes") / f"{name}.py"
    if name not in recipes():
        raise ConfigError(f"no recipe {name!r}; known: {', '.join(recipes())}")
    module_name = f"audiovq_recipe_{name}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # pydantic resolves annotations through it
    spec.loader.exec_module(module)
    return module


def load_demo() -> ModuleType:
    """Import the demo as the package `demo_app`, whose modules `serve` and `settings` start it.

    One name in a checkout and in an installed audiovq, so that its modules are never there twice.

    Raises:
        ConfigError: this installation has no demo.
    """
    path = folder("demo_app") / "__init__.py"
    if "demo_app" not in sys.modules:
        if not path.is_file():
            raise ConfigError("the demo is not part of this installation: install audiovq again")
        spec = importlib.util.spec_from_file_location(
            "demo_app", path, submodule_search_locations=[str(path.parent)]
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["demo_app"] = module  # its modules import each other through it
        spec.loader.exec_module(module)
    for name in ("serve", "settings"):
        importlib.import_module(f"demo_app.{name}")
    return sys.modules["demo_app"]
