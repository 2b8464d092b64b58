"""Commands that train priors over codes, and draw speech from them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audiovq.commands._app import (
    Device,
    GivenCodes,
    GivenFeatures,
    ModelArgument,
    Plugin,
    Threads,
    app,
    check_device,
    load_model,
    set_threads,
)
from audiovq.commands.training import resolve
from audiovq.errors import ConfigError

if TYPE_CHECKING:
    from audiovq.prior import TrainedPrior
    from audiovq.prior._base import Condition


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

    A prior may be told of each frame: another stream of the same codes (train.streams and
    train.given_streams, for VQ-VAE-2), codes of another model of the same utterances
    (train.given_codes=DIR), or the vectors that units stand for (train.given_features=DIR).

    Example: audiovq train-prior wavenet codes=units run.dir=runs/prior

    Example: audiovq train-prior wavenet codes=units run.dir=runs/fast train.streams=[fast]
    train.given_streams=[slow]
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
def sample(
    prior: Annotated[
        Path,
        typer.Argument(
            help="a prior's folder, a run folder that holds one as `model/`, or a name from "
            "`audiovq ls models`"
        ),
    ],
    model: ModelArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="folder for what is made  [default: samples, in PRIOR's run folder]"
        ),
    ] = None,
    number: Annotated[int, typer.Option(min=1, help="how many pieces")] = 1,
    then: Annotated[
        list[Path] | None,
        typer.Option(
            help="a prior of other rows of the codes, given those drawn before (repeatable)"
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="length of each, the prompt included (s) [default: 5, or the utterance's]"
        ),
    ] = None,
    prompt: Annotated[
        Path | None,
        typer.Option(
            help="audio file to go on from; the sound begins with it; of a long one the prior "
            "hears the end, as far as its context reaches, and says so"
        ),
    ] = None,
    given_codes: GivenCodes = "",
    given_features: GivenFeatures = "",
    utterance: Annotated[
        str | None, typer.Option(help="id of the utterance whose codes or vectors are given")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="who speaks, if the prior was trained with labels")
    ] = None,
    temperature: Annotated[
        float, typer.Option(help="0: always the most probable code; 1: as learned")
    ] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="draw from so many codes only")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="draw from the codes of this share together, in (0, 1]")
    ] = None,
    guidance: Annotated[
        float,
        typer.Option(
            help="towards label, other codes and features: 0 ignores them, 1 as learned, more "
            "exaggerates"
        ),
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="of every draw")] = 0,
    batch: Annotated[int, typer.Option(min=1, help="pieces drawn at a time")] = 16,
    force: Annotated[bool, typer.Option(help="replace files that are there")] = False,
    threads: Threads = 1,
    device: Device = "cpu",
    plugin: Plugin = [],  # noqa: B006
) -> None:
    """Draw new speech: codes from a prior, decoded by the model that they are codes of.

    Writes sample-000.wav and so on or, with --prompt, continuation-000.wav, which goes on from a
    recording; beside each a JSON file of its codes and how surprising each is; and report.html to
    see and hear all that the folder holds. In the folder `samples` of the prior's run, the default
    where there is one, pieces are in the run's report.html, too.

    Of a model of several streams, such as VQ-VAE-2, PRIOR draws the first, and each --then those
    that follow.

    Example: audiovq sample runs/wavenet runs/vq --number 10 --temperature 0.9

    Example: audiovq sample runs/slow runs/vqvae2 --then runs/fast
    """
    from dataclasses import asdict

    from audiovq import audio
    from audiovq.eval import prior_page, samples
    from audiovq.prior import load
    from audiovq.prior._generate import Wish, generate

    set_threads(threads)
    run = prior_page.run_of(prior)
    folder = out or ((run or Path()) / prior_page.SAMPLES)
    stem = "sample" if prompt is None else "continuation"
    paths = [folder / f"{stem}-{i:03d}.wav" for i in range(number)]
    if (there := [p for p in paths if p.exists()]) and not force:
        raise ConfigError(f"{there[0]} exists already; add --force to replace")
    autoencoder = load_model(model, device, plugin)
    priors = [load(path, plugin) for path in (prior, *(then or ()))]
    for trained in priors:
        trained.module.to(check_device(device))
    given, longest = _given(priors, given_codes, given_features, utterance)
    wish = Wish(
        number=number, seconds=longest if seconds is None else seconds, batch=batch, label=label,
        temperature=temperature, top_k=top_k, top_p=top_p, guidance=guidance, seed=seed,
    )  # fmt: skip
    x = None if prompt is None else audio.load(prompt, autoencoder.sample_rate)
    before = 0 if x is None else x.shape[-1] // autoencoder.hop_length
    found = generate(priors, autoencoder, wish, x, given=given)
    folder.mkdir(parents=True, exist_ok=True)
    for item, (path, (codes, x_hat)) in enumerate(zip(paths, found, strict=True)):
        if item == 0 and x is not None:
            _tell_what_is_heard(priors, x.shape[-1] / autoencoder.sample_rate)
        settings = {
            "prompt": None if prompt is None else prompt.name, "utterance": utterance,
            "item": item, **asdict(wish),
        }  # fmt: skip
        drawn = samples.Drawn(codes, x_hat, before)
        piece = samples.write(path, priors, drawn, settings, given)
        length = x_hat.shape[-1] / autoencoder.sample_rate
        print(f"{path}\t{length:.2f} s\t{samples.costs(piece)}")
    prior_page.write_samples(folder, run)
    print(f"page: {folder / 'report.html'}")


def _tell_what_is_heard(priors: "Sequence[TrainedPrior]", seconds: float) -> None:
    from audiovq.prior._generate import hears

    reach = [r for r in map(hears, priors) if r is not None and r < seconds]
    if reach:
        typer.echo(
            f"note: of the prompt's {seconds:.2f} s a prior hears the last {min(reach):.2f} s, as "
            f"far as its context reaches",
            err=True,
        )


def _given(
    priors: "Sequence[TrainedPrior]", codes: str, features: str, utterance: str | None
) -> "tuple[list[Condition], float]":
    """Return what each prior is given of an utterance, and how long there is something (s)."""
    from audiovq.units.given import given_of, open_folders

    if (utterance is not None) != bool(codes or features):
        raise ConfigError(
            "--utterance ID goes with --given-codes DIR or --given-features DIR, and they with it: "
            "it says whose codes are given"
        )
    for folder, name in ((codes, "given_codes"), (features, "given_features")):
        if folder and all(getattr(p.about, name) is None for p in priors):
            raise ConfigError(f"no prior here is given what {folder} holds: leave it out")
    folders = open_folders(codes, features)
    found = [given_of(p.about, folders, utterance or "") for p in priors]
    seconds = [
        value.shape[-1] / p.about.codes.frame_rate
        for p, given in zip(priors, found, strict=True)
        for value in (given.codes, given.features)
        if value is not None
    ]
    return found, min(seconds, default=5.0)
