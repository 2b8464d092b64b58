"""Commands that train, compare, and look after training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from audiovq.commands._app import Json, ManifestArgument, SplitName, app, print_json
from audiovq.errors import ConfigError


@app.command()
def train(
    config: Annotated[str, typer.Argument(help="a file, or a name from `audiovq ls configs`")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="settings: key=value ..., e.g. train.max_steps=500")
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="print the resolved config and stop")
    ] = False,
) -> None:
    """Train a model, or go on training: the same command on the same run.dir continues.

    Ctrl-C, SIGTERM and SIGUSR1 finish the step, save, and leave with exit code 130, 143 or 75. The
    run folder holds config.yaml, log.jsonl, checkpoints/, snapshots/, report.html and the model as
    model/, the best one by validation as best/. On several GPUs or processes: torchrun --standalone
    --nproc_per_node=2 -m audiovq train ...; under SLURM: audiovq cp train_slurm my_jobs/.

    Example: audiovq train autoencoder/vq_ema data.manifest=speech.jsonl run.dir=runs/vq
    """
    from audiovq import config as configs
    from audiovq import share

    recipe, resolved = resolve(config, overrides or ())
    if show:
        print(configs.to_yaml(resolved), end="")
        return
    recipe.main(resolved)
    if not share.is_follower():
        print(f"model: {Path(resolved.run.dir) / 'model'}")


def resolve(
    config: str, overrides: Sequence[str], expected: str = "train_autoencoder"
) -> tuple[Any, Any]:
    """Return the recipe of a config that the user typed, and the config, validated.

    Args:
        config: its path or name.
        overrides: settings as typed.
        expected: recipe of a config that names none, whose configs come first.
    """
    from audiovq import config as configs
    from audiovq import registry, share

    path = share.config_path(config, expected.removeprefix("train_"))
    values = configs.override(configs.read_yaml(path), overrides)
    recipe = share.load_recipe(str(values.get("recipe", expected)))
    name = recipe.__name__.removeprefix("audiovq_recipe_")
    if name == "compare":
        raise ConfigError(
            f"{config} lists models to compare: audiovq compare MANIFEST {config} -o DIR"
        )
    if name == "ship":
        raise ConfigError(
            f"{config} makes a model to be shared: audiovq ship {config} MANIFEST -o DIR"
        )
    if expected not in {"train_autoencoder", name}:
        raise ConfigError(f"{config} is of the recipe {name!r}, not {expected!r}: audiovq train")
    if "run" not in getattr(getattr(recipe, "Config", None), "model_fields", ()):
        raise ConfigError(f"{config} is of the recipe {name!r}, which takes no config")
    with registry.plugins(None):  # the user typed this config, plug-ins included
        return recipe, configs.parse(recipe.Config, values, config)


@app.command()
def doctor(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN|CONFIG",
            help="a run folder: going on, ended or killed; or a config to be trained; none: this "
            "machine",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="key=value", help="settings of the config, as in `train`"),
    ] = None,
    machine: Annotated[
        bool, typer.Option("--machine", help="look at the machine besides the run or the config")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            help="folder whose disk is tried with the machine: 64 MiB, 3 s at most, nothing stays "
            "(the run's folder, or the current one)",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say in plain words what is wrong, by which figure, and what to try.

    Without an argument: this machine - versions that clash, GPUs and drivers, threads and cores,
    disk, memory, limits. With a config and data.manifest=M: the config against its corpus and the
    machine - missing files, splits that share speakers, sample rates, segments, batches, codebook,
    memory, room for checkpoints. With a run folder: whether training is healthy, by its log.
    The exit code is 0 whatever is found.

    Example: audiovq doctor

    Example: audiovq doctor autoencoder/vq_ema data.manifest=speech.jsonl

    Example: audiovq doctor runs/vq
    """
    from audiovq.train import checkup

    if target is not None and folder is not None and not machine:
        raise ConfigError("--dir goes with the machine: add --machine, or leave the argument out")
    found, place = (None, Path()) if target is None else _examine(target, overrides or ())
    host = checkup.machine(folder or place) if machine or found is None else None
    seen = [f for f in (found, host) if f is not None]
    if as_json:
        both = {"machine": host.to_dict()} if host is not None and found is not None else {}
        print_json(seen[0].to_dict() | both)
    else:
        print("\n\n".join(f.text() for f in seen))


def _examine(target: str, overrides: Sequence[str]) -> tuple[Any, Path]:
    """Return what the doctor says of a run or a config, and the folder it is or will be in."""
    from audiovq import share
    from audiovq.train import checkup
    from audiovq.train.doctor import examine
    from audiovq.train.facts.plan import existing

    path = Path(target)
    if path.is_dir() and not overrides:
        return examine(path), path
    if (path / "config.yaml").is_file():
        raise ConfigError(
            f"{target} is a run folder, which takes no settings; to check its config with others: "
            f"audiovq doctor {path / 'config.yaml'} key=value"
        )
    if path.suffix == ".jsonl" or not (overrides or path.is_file() or share.is_config(target)):
        raise ConfigError(
            f"{target} is no run folder and no config: give a run.dir, or a config (`audiovq ls "
            f"configs`) and data.manifest=M"
        )
    _, config = resolve(target, overrides)
    known = ("train_autoencoder", "train_adversarial")
    if config.recipe not in known:
        raise ConfigError(
            f"{target} is of the recipe {config.recipe!r}; before training, doctor reads those of "
            f"{' and '.join(known)}, and of others the run folder"
        )
    return checkup.plan(config, target), existing(Path(config.run.dir))


@app.command()
def compare(
    manifest: ManifestArgument,
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="CONFIG...",
            help="[LABEL@]CONFIG[+key=value...]: a config from `audiovq ls configs` or a file, "
            "with changes; a config of the recipe `compare` is a list of models",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="folder of the comparison (runs/compare)")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="optimizer steps of every model (1500)")
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(help="seed of a run of each model (0; repeatable)")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=64, help="runs at once; they share cores (1)")
    ] = None,
    settings: Annotated[
        list[str], typer.Option("--set", help="key=value for all models (repeatable)")
    ] = [],  # noqa: B006
    split: Annotated[
        SplitName | None, typer.Option(help="which records to evaluate (test)")
    ] = None,
    max_utterances: Annotated[
        int | None, typer.Option(min=1, help="evaluate that many, spread over the split (all)")
    ] = None,
) -> None:
    """Train several models on equal terms and evaluate them in one table and one report.

    Every model gets the same encoder, decoder, data, losses, steps and seeds; configs that differ
    in anything but the bottleneck, the corruption of the input or the speaker table are refused.
    OUT gets table.csv, table.md, table.json, report.html, rate_distortion.png, and a run folder
    for each model. The same command goes on where it stopped; models and seeds may be added, and
    the tables hold those that the last command named. In brackets: what holds where neither an
    option nor a list of models says otherwise.

    Example: audiovq compare speech.jsonl ae vq_ema rvq+model.bottleneck.num_codebooks=2 -o runs/c
    """
    from audiovq import config as configs
    from audiovq import share
    from audiovq.compare import lists
    from audiovq.figures import can_draw

    recipe = share.load_recipe("compare")
    given = {
        "manifest": str(manifest), "models": models, "dir": None if out is None else str(out),
        "steps": steps, "seeds": seed or None, "settings": settings, "jobs": jobs,
        "split": None if split is None else split.value, "max_utterances": max_utterances,
    }  # fmt: skip
    config = configs.parse(recipe.Config, lists.complete(given, models), "compare")
    recipe.main(config)
    folder = Path(config.dir)
    print((folder / "table.md").read_text("utf-8"), end="")
    hint = 'no report without matplotlib: pip install "audiovq[train]"'
    print(f"report: {folder / 'report.html'}" if can_draw() else hint)
