"""Commands that train priors over codes, and score codes with them."""

from pathlib import Path
from typing import Annotated

import typer

from audiovq.commands._app import (
    Device,
    Json,
    Plugin,
    SplitName,
    Threads,
    app,
    check_device,
    set_threads,
)
from audiovq.commands.training import resolve


@app.command("train-prior")
def train_prior(
    config: Annotated[str, typer.Argument(help="a file, or a name from `audiovq ls configs`")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="settings: key=value ..., e.g. codes=units")
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="print the resolved config and stop")
    ] = False,
) -> None:
    """Train a prior on codes=DIR, a folder of `audiovq extract`, or go on training.

    The same command on the same run.dir continues; signals and several processes are as in
    `audiovq train`. Utterances of the split `train` are learned from; those of `validation`,
    spoken by others, are scored. The run folder holds config.yaml, log.jsonl, checkpoints/,
    report.html, and the prior as model/, the best one by validation as best/.

    Example: audiovq train-prior wavenet codes=units run.dir=runs/prior
    """
    from audiovq import config as configs
    from audiovq import share

    recipe, resolved = resolve(config, overrides or (), "train_prior")
    if show:
        print(configs.to_yaml(resolved), end="")
        return
    recipe.main(resolved)
    if not share.is_follower():
        print(f"prior: {Path(resolved.run.dir) / 'model'}")


@app.command()
def score(
    prior: Annotated[
        Path, typer.Argument(help="a prior's folder, or a run folder that holds one as `model/`")
    ],
    units: Annotated[Path, typer.Argument(help="a folder made by `audiovq extract`")],
    split: Annotated[SplitName, typer.Option(help="which utterances")] = SplitName.test,
    each: Annotated[bool, typer.Option("--each", help="list every utterance, too")] = False,
    threads: Threads = 1,
    as_json: Json = False,
    device: Device = "cpu",
    plugin: Plugin = [],  # noqa: B006
) -> None:
    """Say what codes cost under a prior: nats, bits per code, bits per second, perplexity.

    Beside it what they cost without one: nominal, by the training codes' frequencies, by their
    own, and as runs of equal codes without and with durations. In brackets: 95 % intervals over
    speakers. --json holds every utterance.

    Example: audiovq score runs/prior/best units
    """
    from audiovq.eval.prior_score import score as run
    from audiovq.prior import load
    from audiovq.units import load as load_units
    from audiovq.units.sequences import read_split

    set_threads(threads)
    trained = load(prior, plugin)
    found = load_units(units)
    m = found.metadata
    trained.check(m.model_hash, m.codebook_sizes, str(units))
    trained.module.to(check_device(device))
    sequences = read_split(found, None if split == SplitName.all else split.value)
    result = run(trained, sequences, split.value, str(units))
    if as_json:
        print(result.to_json())
        return
    print(result.table())
    if each:
        print(f"\n{result.each()}")
