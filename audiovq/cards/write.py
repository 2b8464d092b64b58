"""Putting a card beside a model."""

from collections.abc import Collection, Sequence
from pathlib import Path

from audiovq import config as configs
from audiovq import prior as priors
from audiovq import release, shipped
from audiovq.cards import figures, front, page, training
from audiovq.cards.page import Known
from audiovq.cards.words import NO_WORDS, Words
from audiovq.errors import ConfigError
from audiovq.files import atomic_write


def write(
    folder: Path,
    *,
    name: str = "",
    words: Words = NO_WORDS,
    evaluations: Sequence[Path] = (),
    run: Path | None = None,
    of: str = "",
    command: str = "",
    hardware: str = "",
    part: str = "",
    force: bool = False,
    plugins: Collection[str] = (),
) -> Path:
    """Write the card of the model or prior in a folder, as its `README.md`.

    Args:
        folder: holds `config.json` and `model.safetensors`.
        name: what it is to be called; "": as its folder.
        words: what a person says.
        evaluations: JSON of `audiovq evaluate`, `evaluate-units` and `score`, of these weights.
        run: run folder that it was trained in.
        of: of a prior: name of the model whose codes it is of; "": found among those that come
            with audiovq.
        command: that trains it again.
        hardware: that it was trained on; "": what the run folder says.
        part: which of the run's models it is: `best`, `average`, `model`; "": not known.
        force: replace a card that is there.
        plugins: dotted names of plug-in components you trust.

    Raises:
        ConfigError: a card is there, an evaluation is of another model, or `run` is no run folder.
        CheckpointError: the folder or an evaluation cannot be read.
    """
    place = release.find(folder)
    path = place / front.CARD
    if path.exists() and not force:
        raise ConfigError(f"{path} exists already; add --force to replace it")
    called = name or place.resolve().name
    tables = [figures.read(e, called) for e in evaluations]
    trained = None if run is None else training.read(run, command, hardware, part)
    if shipped.kind_of(place) == "prior":
        prior = priors.load(place, plugins)
        of = of or _model_of(prior.about.codes.model_hash)
        known = Known(name=called, words=words, tables=tables, training=trained, of=of)
        text = page.of_prior(prior, place, known)
    else:
        known = Known(name=called, words=words, tables=tables, training=trained)
        text = page.of_model(release.load(place, plugins), place, known)
    atomic_write(path, text)
    return path


def read_words(path: Path) -> Words:
    """Return the words of a YAML file: its `card` if it is a config of the recipe `ship`.

    Raises:
        ConfigError: it is not YAML, or holds something else.
    """
    values = configs.read_yaml(path)
    given = values.get("card", values)
    if not isinstance(given, dict):
        raise ConfigError(f"{path}: `card` must hold `key: value` lines")
    return configs.parse(Words, given, str(path))


def _model_of(fingerprint: str) -> str:
    known = shipped.models().values()
    return next((m.name for m in known if m.fingerprint == fingerprint), "")
