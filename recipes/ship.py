"""Make a model as those that come with audiovq: train, store in float16, measure, describe.

    audiovq ship vq_50hz speech.jsonl -o shipped

The same command goes on where it stopped. Weights are learned from the training speakers alone, and
figures are of the weights as they are stored, on the test speakers. A model that is told who speaks
learns in the end to hear a voice in a recording (`audiovq fit-reference`).
"""

import json
import shlex
from pathlib import Path
from typing import Literal

from pydantic import Field

from audiovq import config as configs
from audiovq import prior as priors
from audiovq import release, share, shipped
from audiovq import units as stored
from audiovq.__main__ import run_recipe
from audiovq.alone import alone
from audiovq.cards import training
from audiovq.cards.words import NO_WORDS, Words
from audiovq.cards.write import write
from audiovq.commands.training import resolve
from audiovq.data import manifest as manifests
from audiovq.errors import ConfigError
from audiovq.eval import ask
from audiovq.eval.evaluate import evaluate_systems
from audiovq.eval.prior_score import score
from audiovq.files import atomic_write
from audiovq.train.run import pick_device
from audiovq.units.extract import extract
from audiovq.units.given import read_for
from audiovq.units.sources import where
from audiovq.voice.fit import fit_reference

PARTS = ("best", "average", "model")  # of a run, in the order in which they are looked for


class Config(configs.Config):
    """What is made, and what its card says."""

    recipe: Literal["ship"] = Field("ship", description="this file")
    name: str = Field("model", pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="of the model")
    manifest: str = Field("", description="path of the manifest (made by `audiovq prepare`)")
    out: str = Field("shipped", description="folder of the model's folder, and of runs/")
    config: str = Field("autoencoder/vq_ema", description="that it is trained by")
    settings: tuple[str, ...] = Field((), description="key=value, laid over that config")
    codes_of: str = Field("", description="of a prior: name of the model whose codes it is of")
    codebooks: str = Field("", description="rates of a residual model to measure, such as 2,4,8")
    max_utterances: int | None = Field(None, ge=1, description="to measure; null: all of `test`")
    evaluations: tuple[str, ...] = Field((), description="JSON of other figures for the card")
    hardware: str = Field("", description="trained on, in words; empty: what runs/ noted")
    card: Words = Field(NO_WORDS, description="what the card says that is not measured")


def main(config: Config) -> None:
    """Do it, or what is left of it."""
    if not config.manifest:
        raise ConfigError("manifest is missing: give one made by `audiovq prepare`")
    refuse_half_a_prior(config)
    corpus = manifests.read(config.manifest, check_files=True)
    out = Path(config.out)
    run, folder = out / "runs" / config.name, out / config.name
    codes = extract_codes(config, corpus, out) if config.codes_of else None

    part = train(config, run, codes)
    if share.is_follower():
        return
    with alone(run, "shipping from"):
        evaluation = run / "evaluation.json"
        store(run / part, folder, corpus, is_prior=codes is not None)
        measured = score_codes(folder, codes) if codes else reconstruct(folder, corpus, config)
        atomic_write(evaluation, measured + "\n")
        path = write(
            folder,
            words=config.card,
            evaluations=[evaluation, *map(Path, config.evaluations)],
            run=run,
            of=config.codes_of,
            command=command(config),
            hardware=config.hardware,
            part=part,
            force=True,
        )
    print(f"{folder}: {sum(p.stat().st_size for p in folder.iterdir()):,} bytes, card {path}")


def refuse_half_a_prior(config: Config) -> None:
    """Look whether a prior has a model, and a model none."""
    recipe = configs.read_yaml(share.config_path(config.config)).get("recipe")
    if (recipe == "train_prior") != bool(config.codes_of):
        raise ConfigError(
            f"config={config.config} is of the recipe {recipe!r} and codes_of={config.codes_of!r}: "
            f"a prior needs the name of the model whose codes it is of, and nothing else takes one"
        )


def extract_codes(config: Config, corpus: manifests.Manifest, out: Path) -> Path:
    """Return the folder of the corpus's codes by the model that a prior is to be of."""
    there = out / config.codes_of
    if not there.is_dir() and not shipped.is_name(config.codes_of):
        raise ConfigError(
            f"{config.name} is a prior of the codes of {config.codes_of}, which is not at {there} "
            f"and does not come with this audiovq: make that model first, with the same -o"
        )
    source = str(there) if there.is_dir() else config.codes_of
    folder = out / "runs" / f"{config.codes_of}-units"
    extract(release.load(source), corpus, folder, made_from=where(source, corpus.path))
    return folder


def train(config: Config, run: Path, codes: Path | None) -> str:
    """Train, or go on training; returns which of the run's models is the one to keep."""
    place = Path(config.manifest) if codes is None else codes
    given = f"{'data.manifest' if codes is None else 'codes'}={json.dumps(str(place.resolve()))}"
    words = (*config.settings, given, f"run.dir={json.dumps(str(run))}")
    recipe, resolved = resolve(
        config.config, words, "train_autoencoder" if codes is None else "train_prior"
    )
    if not share.is_follower():
        training.record_machine(run, pick_device(resolved.train.device))
    recipe.main(resolved)
    return next(p for p in PARTS if (run / p).is_dir())


def store(source: Path, folder: Path, corpus: manifests.Manifest, *, is_prior: bool) -> None:
    """Write a model's weights in float16; one that has speakers gets a reference encoder."""
    if is_prior:
        priors.load(source).save(folder, half=True)
        return
    model = release.load(source)
    if model.speakers:
        model = fit_reference(model, corpus)
    model.save(folder, half=True)


def reconstruct(folder: Path, corpus: manifests.Manifest, config: Config) -> str:
    """Return what the stored model is worth on the test speakers, as JSON."""
    systems = ask.systems(release.load, folder, codebooks=config.codebooks)
    found = evaluate_systems(systems, corpus, max_utterances=config.max_utterances)
    return found.to_json()


def score_codes(folder: Path, codes: Path) -> str:
    """Return what the test speakers' codes cost under the stored prior, as JSON."""
    prior, units = priors.load(folder), stored.load(codes)
    return score(prior, read_for(prior.about, units, "test"), "test", codes.name).to_json()


def command(config: Config) -> str:
    """Return the command that makes the same again, if its config comes with audiovq."""
    name = f"shipped/{config.name.replace('-', '_')}"
    if not share.is_config(name):
        return ""
    return shlex.join(["audiovq", "ship", name, "MANIFEST", *config.settings])


if __name__ == "__main__":
    run_recipe(Config, main)
