"""Commands that make a model ready to be shared."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from audiovq.commands._app import ManifestArgument, Plugin, app
from audiovq.errors import ConfigError


@app.command()
def card(
    model: Annotated[
        Path, typer.Argument(help="folder of a model or a prior, or a run folder that holds one")
    ],
    evaluation: Annotated[
        list[Path],
        typer.Option(
            help="figures of these very weights: JSON of `evaluate -o FILE`, `evaluate-units "
            "--json` or `score --json` (repeatable)"
        ),
    ] = [],  # noqa: B006  (typer copies it)
    run: Annotated[
        Path | None, typer.Option(help="run folder that it was trained in, for how and on what")
    ] = None,
    words: Annotated[
        Path | None,
        typer.Option(help="YAML: summary, uses, limits, license, datasets, credit, language, tags"),
    ] = None,
    name: Annotated[str, typer.Option(help="what it is called [the folder's name]")] = "",
    hardware: Annotated[
        str, typer.Option(help="that it was trained on, in words [what the run folder says]")
    ] = "",
    force: Annotated[bool, typer.Option(help="replace a card that is there")] = False,
    plugin: Plugin = [],  # noqa: B006
) -> None:
    """Write a model's card, README.md in the layout of the Hugging Face hub, beside its weights.

    Figures come from files that this audiovq wrote, and are refused if they are of other weights.

    Example: audiovq card small --evaluation small.json --run runs/vq --words words.yaml
    """
    from audiovq.cards.words import NO_WORDS
    from audiovq.cards.write import read_words, write

    path = write(
        model,
        name=name,
        words=NO_WORDS if words is None else read_words(words),
        evaluations=evaluation,
        run=run,
        hardware=hardware,
        force=force,
        plugins=plugin,
    )
    print(path)


@app.command()
def ship(
    config: Annotated[
        str, typer.Argument(help="a file, or a name from `audiovq ls configs` such as vq_50hz")
    ],
    manifest: ManifestArgument,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="key=value", help="settings of the training, e.g. train.max_steps=500"
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="folder: the model as OUT/NAME, runs as OUT/runs")
    ] = Path("shipped"),
) -> None:
    """Make a model as those that come with audiovq, from a manifest to a folder with a card.

    Trains on the training speakers, stores the best weights in float16, measures what was stored
    on the test speakers, and writes the card. The same command goes on where it stopped. A prior
    is made of the codes of OUT/MODEL, or of the model of that name that comes with audiovq.

    Example: audiovq ship vq_50hz speech.jsonl -o shipped
    """
    recipe, resolved = _resolve(config, manifest, overrides or (), out)
    recipe.main(resolved)


def _resolve(config: str, manifest: Path, overrides: Sequence[str], out: Path) -> tuple[Any, Any]:
    """Return the recipe, and the config that the user typed, validated."""
    from audiovq import config as configs
    from audiovq import share

    values = configs.read_yaml(share.config_path(config, "shipped"))
    if values.get("recipe") != "ship":
        raise ConfigError(
            f"{config} is of the recipe {values.get('recipe')!r}, not 'ship': audiovq train"
        )
    recipe = share.load_recipe("ship")
    own = [
        t for t in overrides if t.partition("=")[0].partition(".")[0] in recipe.Config.model_fields
    ]
    values = configs.override(values, own)
    settings = [*values.get("settings", ()), *(t for t in overrides if t not in own)]
    given = values | {"settings": settings, "manifest": str(manifest), "out": str(out)}
    return recipe, configs.parse(recipe.Config, given, config)
