"""Every command, in the order one needs them; what they do lives in the library."""

import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from audiovq.errors import ConfigError
from audiovq.eval.values import METRICS

app = typer.Typer(
    name="audiovq",
    help="Discrete codes from speech: prepare a corpus, train, listen, extract, evaluate.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ModelArgument = Annotated[
    Path, typer.Argument(help="a model folder, or a run folder that holds one as `model/`")
]
ManifestArgument = Annotated[Path, typer.Argument(help="a manifest made by `audiovq prepare`")]
OutWav = Annotated[
    Path,
    typer.Option("-o", "--out", help="folder for the wav files, or FILE.wav for one recording"),
]
Threads = Annotated[int, typer.Option(min=1, max=256, help="CPU threads")]
Json = Annotated[bool, typer.Option("--json", help="print JSON on stdout")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")]
Plugin = Annotated[
    list[str], typer.Option(help="dotted name of a plug-in component you trust (repeatable)")
]


class SplitName(StrEnum):
    """Splits of a manifest."""

    train = "train"
    validation = "validation"
    test = "test"
    all = "all"


@app.command()
def prepare(
    corpus: Annotated[str, typer.Argument(help="a name from `audiovq ls corpora`")],
    root: Annotated[Path, typer.Argument(help="the corpus's folder")],
    options: Annotated[
        list[str] | None, typer.Argument(help="settings of the corpus: key=value ...")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="manifest to write (JSONL)")] = Path(
        "manifest.jsonl"
    ),
    max_rejected: Annotated[
        float, typer.Option(min=0, max=1, help="share of files that may be unusable")
    ] = 0.01,
    download: Annotated[
        list[str],
        typer.Option(
            metavar="NAME", help="fetch that archive of the corpus into ROOT first (repeatable)"
        ),
    ] = [],  # noqa: B006
    check: Annotated[
        bool, typer.Option("--check", help="only look: list bad files, write no manifest")
    ] = False,
    as_json: Json = False,
) -> None:
    """Decode every file once, name the bad ones, and write the manifest with its splits.

    Speakers are kept apart: 7 in 10 train, 1 validates, 2 test, by a hash of the speaker's name.
    Files that are not usable are listed in OUT.rejected.jsonl with the reason; OUT.stats.json and
    OUT.stats.png show length, level, clipping and pauses. --download fetches what some corpora
    publish (librispeech, libritts: dev-clean ...; librilight: small ...; vctk: 0.92; ljspeech:
    1.1; aishell: data_aishell), goes on where it broke off, and checks the sum.

    Example: audiovq prepare folder ~/recordings -o speech.jsonl
    """
    from audiovq.data.prepare import prepare as run

    report = run(
        corpus,
        root,
        out,
        options or (),
        max_rejected=max_rejected,
        fetch=download,
        only_check=check,
    )
    if as_json:
        _print_json(report.to_dict())
        return
    for split, n in report.utterances.items():
        hours, speakers = report.hours[split], report.speakers[split]
        print(f"{split:<11}{n:>7} utterances {hours:>8.2f} h {speakers:>5} speakers")
    print(", ".join(f"{n} {status}" for status, n in report.statuses.items()))
    s = report.statistics
    print(
        f"median: {s['duration_s']['median']:.2f} s, {s['level_dbfs']['median']:.1f} dBFS, "
        f"{s['pauses']['median']:.0%} pauses; {s['files_with_clipping']} files with clipping "
        f"(more in {report.manifest}.stats.json)"
    )
    if report.problems:
        print(f"listed in {report.manifest}.rejected.jsonl")
    if report.note:
        print(f"note: {report.note}")


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

    recipe, resolved = _resolve(config, overrides or ())
    if show:
        print(configs.to_yaml(resolved), end="")
        return
    recipe.main(resolved)
    if not share.is_follower():
        print(f"model: {Path(resolved.run.dir) / 'model'}")


def _resolve(config: str, overrides: Sequence[str]) -> tuple[Any, Any]:
    """Return the recipe of a config that the user typed, and the config, validated."""
    from audiovq import config as configs
    from audiovq import registry, share

    values = configs.override(configs.read_yaml(share.config_path(config)), overrides)
    recipe = share.load_recipe(str(values.get("recipe", "train_autoencoder")))
    name = recipe.__name__.removeprefix("audiovq_recipe_")
    if name == "compare":
        raise ConfigError(
            f"{config} lists models to compare: audiovq compare MANIFEST {config} -o DIR"
        )
    if "run" not in getattr(getattr(recipe, "Config", None), "model_fields", ()):
        raise ConfigError(f"{config} is of the recipe {name!r}, which takes no config")
    with registry.plugins(None):  # the user typed this config, plug-ins included
        return recipe, configs.parse(recipe.Config, values, config)


@app.command()
def resynth(
    model: ModelArgument,
    inputs: Annotated[list[Path], typer.Argument(help="audio files, or folders of them")],
    out: OutWav = Path("resynth"),
    force: Annotated[bool, typer.Option(help="replace files that are there")] = False,
    device: Device = "cpu",
    plugin: Plugin = [],  # noqa: B006  (typer copies it)
) -> None:
    """Pass recordings through a model and write what comes out, as wav at the model's rate.

    Files of any length are streamed. Speed is in seconds of audio per second.

    Example: audiovq resynth runs/vq speech/ -o out
    """
    _pass_through(_load(model, device, plugin), inputs, out, force=force)


@app.command()
def convert(
    model: ModelArgument,
    inputs: Annotated[
        list[Path] | None, typer.Argument(help="audio files, or folders of them")
    ] = None,
    speaker: Annotated[
        str | None, typer.Option(help="who shall speak: one of --list-speakers")
    ] = None,
    out: OutWav = Path("converted"),
    list_speakers: Annotated[
        bool, typer.Option("--list-speakers", help="print the speakers the model knows, and stop")
    ] = False,
    force: Annotated[bool, typer.Option(help="replace files that are there")] = False,
    device: Device = "cpu",
    plugin: Plugin = [],  # noqa: B006
) -> None:
    """Say recordings in another voice: codes of whoever speaks, decoded as a speaker of training.

    Takes a model that was trained with speakers, such as autoencoder/vq_speaker. Files of any
    length are streamed.

    Example: audiovq convert runs/vq_speaker hello.wav --speaker p225 -o hello_p225.wav
    """
    loaded = _load(model, device, plugin)
    if list_speakers:
        loaded.speaker_index([])  # refuses a model without speakers
        print("\n".join(loaded.speakers))
        return
    if speaker is None or not inputs:
        raise ConfigError("give recordings and --speaker NAME; --list-speakers prints the names")
    _pass_through(loaded, inputs, out, loaded.speaker_index([speaker]), force=force)


def _pass_through(
    model: Any, inputs: list[Path], out: Path, condition: Any = None, *, force: bool
) -> None:
    from tqdm import tqdm

    from audiovq.resynth import plan, resynthesise

    pairs = plan(inputs, out)
    there = [t for _, t in pairs if t.exists()]
    if there and not force:
        raise ConfigError(
            f"{there[0]} exists already ({len(there)} in all); add --force to replace"
        )
    for source, target in tqdm(pairs, desc="resynthesising", unit="file"):
        done = resynthesise(model, source, target, condition)
        print(f"{done.target}\t{done.seconds:.2f} s\t{done.speed:.1f} x real time")


@app.command()
def extract(
    model: ModelArgument,
    manifest: ManifestArgument,
    out: Annotated[Path, typer.Option("-o", "--out", help="folder for the codes")] = Path("units"),
    split: Annotated[SplitName, typer.Option(help="which records")] = SplitName.all,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact/--fast", help="codes that depend on nothing but audio and model, or sooner"
        ),
    ] = True,
    threads: Threads = 1,
    max_rejected: Annotated[
        float, typer.Option(min=0, max=1, help="share of recordings that may be unusable")
    ] = 0.01,
    device: Device = "cpu",
    plugin: Plugin = [],  # noqa: B006
) -> None:
    """Write the codes of a corpus: units.json and shards, read by `audiovq.units.load(DIR)`.

    Killed anywhere, the same command goes on and ends with the same bytes, with any --threads.

    Example: audiovq extract runs/vq speech.jsonl -o units
    """
    from audiovq.data import manifest as manifests
    from audiovq.units.extract import extract as run

    _set_threads(1)  # each utterance is computed by one thread; --threads utterances at a time
    units = run(
        _load(model, device, plugin),
        manifests.read(manifest),
        out,
        splits=None if split == SplitName.all else [split.value],
        exact=exact,
        threads=threads,
        max_rejected=max_rejected,
    )
    m = units.metadata
    print(
        f"{out}: {len(units)} utterances, {m.frame_rate:g} frames per second, "
        f"codebook sizes {m.codebook_sizes}, {m.bitrate:.0f} bit/s nominal"
    )


def _figures() -> str:
    """Return what every figure means, for the end of the help."""
    entries = (f"{k} ({m.unit}): {m.definition}" for k, m in METRICS.items())
    return "Figures:\n\n" + "\n\n".join(entries)


@app.command(epilog=_figures())
def evaluate(
    model: ModelArgument,
    manifest: ManifestArgument,
    split: Annotated[SplitName, typer.Option(help="which records")] = SplitName.test,
    max_utterances: Annotated[
        int | None, typer.Option(min=1, help="use that many, spread over the split")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="also write the JSON to this file")
    ] = None,
    snr_db: Annotated[
        float | None,
        typer.Option(min=-120, max=120, help="let the model hear Gaussian noise at this SNR (dB)"),
    ] = None,
    threads: Threads = 1,
    as_json: Json = False,
    device: Device = "cpu",
    plugin: Plugin = [],  # noqa: B006
) -> None:
    """Reconstruct held-out speech and measure it; every figure with a 95 % interval.

    With --snr-db the input is noisy and the target clean: what a denoising model is for.
    Means are bootstrapped over speakers (over utterances when there are fewer than 5 speakers);
    usage, perplexity and entropy are jackknifed. Utterances of over 60 s are streamed.

    Example: audiovq evaluate runs/vq speech.jsonl --json > vq.json
    """
    from audiovq.data import manifest as manifests
    from audiovq.data.corruption import CorruptionConfig
    from audiovq.eval.evaluate import evaluate as run
    from audiovq.files import atomic_write

    _set_threads(threads)
    if out is not None and (out.is_dir() or not out.parent.is_dir()):  # said before the work
        raise ConfigError(f"cannot write {out}: give a file in a folder that exists")
    result = run(
        _load(model, device, plugin),
        manifests.read(manifest),
        split=None if split == SplitName.all else split.value,
        max_utterances=max_utterances,
        corruption=None
        if snr_db is None
        else CorruptionConfig(gaussian=1.0, gaussian_snr_db=(snr_db, snr_db)),
    )
    text = result.to_json()
    if out is not None:
        atomic_write(out, text + "\n")
    print(text if as_json else result.table())


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
        _print_json(seen[0].to_dict() | both)
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
    _, config = _resolve(target, overrides)
    if config.recipe != "train_autoencoder":
        raise ConfigError(f"{target} is of the recipe {config.recipe!r}; train_autoencoder is read")
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


@app.command()
def ls(
    kind: Annotated[
        str, typer.Argument(help="configs, recipes, encoders, bottlenecks, decoders or corpora")
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


def _load(path: Path, device: str, plugins: list[str]) -> Any:
    from audiovq import release
    from audiovq.train.run import pick_device

    try:
        chosen = pick_device(device)
    except ConfigError as error:  # the check is shared with training, where it is a setting
        raise ConfigError(str(error).replace("train.device=", "--device ")) from None
    return release.load(path, plugins).to(chosen)


def _set_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _print_json(value: Any) -> None:
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
    print()
