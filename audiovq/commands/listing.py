"""Commands that list and copy what can be named."""

from pathlib import Path
from typing import Annotated

import typer

from audiovq.commands._app import app
from audiovq.errors import ConfigError


@app.command()
def ls(
    kind: Annotated[
        str,
        typer.Argument(
            help="configs, recipes, encoders, bottlenecks, decoders, "
            "discriminators, priors or corpora"
        ),
    ] = "",
) -> None:
    """List what can be named: configs, recipes and components; everything without an argument."""
    kinds = _listing()
    if kind and kind not in kinds:
        raise ConfigError(f"{kind!r} cannot be listed; {', '.join(kinds)} can")
    for name in [kind] if kind else list(kinds):
        if not kind:
            print(f"{name}:")
        for entry in kinds[name]:
            print(entry if kind else f"  {entry}")


@app.command()
def cp(
    name: Annotated[str, typer.Argument(help="a config or recipe, as `audiovq ls` shows it")],
    target: Annotated[Path, typer.Argument(help="file or folder to copy it to")],
) -> None:
    """Copy a config or recipe to change it; a config is copied with what it extends.

    Nothing is replaced; what a config extends may be there already if it is the same.

    Example: audiovq cp autoencoder/vq_ema my_configs/
    """
    from audiovq.copies import copy

    for path in copy(name, target):
        print(path)


def _listing() -> dict[str, list[str]]:
    from audiovq import registry, share

    kinds = {"configs": share.configs(), "recipes": share.recipes() + share.scripts()}
    return kinds | {kind: registry.names(kind) for kind in registry.kinds()}
