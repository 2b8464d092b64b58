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
            help="models, configs, recipes, encoders, bottlenecks, decoders, "
            "discriminators, priors or corpora"
        ),
    ] = "",
) -> None:
    """List what can be named: models, configs, recipes, components; all without an argument.

    Models are those that come with audiovq; their names go wherever a command takes a MODEL or a
    PRIOR.

    Example: audiovq ls models
    """
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
    name: Annotated[
        str, typer.Argument(help="a name that `audiovq ls` shows, or a model or run folder")
    ],
    target: Annotated[Path, typer.Argument(help="file or folder to copy it to")],
    half: Annotated[
        bool, typer.Option("--half", help="store a model's weights in float16: half the bytes")
    ] = False,
) -> None:
    """Copy a config or recipe to change it, or a model to store or share it; prints the files.

    A config is copied with what it extends. Nothing is replaced; what a config extends may be there
    already if it is the same. A model that --half rounds is another one: evaluate it anew.

    Example: audiovq cp autoencoder/vq_ema my_configs/

    Example: audiovq cp runs/vq/best small --half
    """
    from audiovq.copies import copy, copy_model, is_model

    if half and not is_model(name):
        raise ConfigError(f"--half is for models; {name} is no model folder and no model's name")
    written = copy_model(name, target, half=half) if is_model(name) else copy(name, target)
    for path in written:
        print(path)


def _listing() -> dict[str, list[str]]:
    from audiovq import registry, share, shipped

    kinds = {
        "models": [str(m) for m in shipped.models().values()],
        "configs": share.configs(),
        "recipes": share.recipes() + share.scripts(),
    }
    return kinds | {kind: registry.names(kind) for kind in registry.kinds()}
