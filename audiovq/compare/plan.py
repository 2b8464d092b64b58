"""What is compared: the models, by name, and the settings they must share."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audiovq import config as configs
from audiovq import registry, release, share
from audiovq.compare import lists
from audiovq.data.manifest import Manifest
from audiovq.errors import ConfigError
from audiovq.files import atomic_write
from audiovq.train import checkpoint
from audiovq.train import run as runs
from audiovq.train.speakers import name_speakers

RECIPE = "train_autoencoder"
# What makes one model another; everything else that decides a result must be equal.
MAY_DIFFER = ("model.bottleneck", "data.corruption", "train.seed")
OWN_FILES = (
    "comparison.json", "table.json", "table.csv", "table.md", "report.html", "rate_distortion.png",
)  # fmt: skip
# A decoder that knows the speaker is the plain one with a table; what it wraps must be equal.
_SPEAKER_TABLE = ("name", "speakers", "speaker_dim", "unknown")


@dataclass(frozen=True)
class Entry:
    """One model of a comparison.

    Attributes:
        label: its name in tables, and of its folder.
        config: path or name of the config.
        overrides: `key=value` laid over it.
    """

    label: str
    config: str
    overrides: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """The config's own name; entries that share it differ in overrides only."""
        return Path(self.config).stem


@dataclass(frozen=True)
class Run:
    """One training run of one entry.

    Attributes:
        entry: the model.
        seed: of weights and sample order.
        folder: the run folder.
        config: the resolved config.
    """

    entry: Entry
    seed: int
    folder: Path
    config: Any

    @property
    def done(self) -> bool:
        """Whether it was trained for all its steps, and left its model."""
        found = checkpoint.Store(self.folder / "checkpoints").steps()
        whole = all(
            (self.folder / "model" / name).is_file() for name in (release.WEIGHTS, release.CONFIG)
        )
        return whole and bool(found) and found[-1] >= self.config.train.max_steps


def entries(texts: Sequence[str]) -> list[Entry]:
    """Read `[label@]config[+key=value...]`; a config of the recipe `compare` stands for its models.

    Raises:
        ConfigError: an override is no override, or two models have the same label.
    """
    found = list(_entries(texts, ()))
    labels = [e.label for e in found]
    twice = sorted({x for x in labels if labels.count(x) > 1})
    if twice:
        raise ConfigError(
            f"two models are called {twice[0]!r}: name one yourself, as in NAME@CONFIG+key=value"
        )
    return found


def _entries(texts: Sequence[str], seen: tuple[Path, ...]) -> Iterator[Entry]:
    for text in texts:
        # A path may have @ in it, a label no slash.
        label, at, rest = text.partition("@")
        if not at or "/" in label or Path(text).is_file():
            label, at, rest = "", "", text
        name, *overrides = [rest] if Path(rest).is_file() else rest.split("+")
        path = share.config_path(name)
        listed = lists.read(path)
        if listed is not None:
            if overrides or at or path in seen:
                raise ConfigError(f"{text!r} is a list of models: it takes no override and no name")
            yield from _entries(listed["models"], (*seen, path))
            continue
        wrong = [o for o in overrides if "=" not in o]
        if wrong:
            raise ConfigError(f"{wrong[0]!r} in {text!r} is not of the form key=value")
        refuse_own(overrides)
        own = "+".join([path.stem, *(_last_key(o) for o in overrides)])
        yield Entry(_safe(label if at else own), name, tuple(overrides))


def _last_key(override: str) -> str:
    """Return `num_codebooks=2` of `model.bottleneck.num_codebooks=2`."""
    key, _, value = override.partition("=")
    return f"{key.rsplit('.', 1)[-1]}={value}"


def _safe(label: str) -> str:
    """Return a label that can name a folder."""
    safe = re.sub(r"[^A-Za-z0-9._+=-]", "_", label).strip(".")
    if not safe:
        raise ConfigError(f"{label!r} cannot name a model: letters, digits and ._+=- are accepted")
    if safe in OWN_FILES:
        raise ConfigError(f"{label!r} cannot name a model: a comparison has a file of that name")
    return safe[:80]


def refuse_own(overrides: Sequence[str]) -> None:
    """Refuse settings that a comparison gives each run itself.

    Raises:
        ConfigError: names the option to use instead.
    """
    for override in overrides:
        key = override.partition("=")[0].strip()
        option = {"train.seed": "--seed", "train": "--seed"}.get(key)
        option = "-o" if key == "run" or key.startswith("run.") else option
        if option:
            raise ConfigError(f"{override!r}: a comparison sets {key} itself; use {option}")


def runs_of(
    found: Sequence[Entry],
    seeds: Sequence[int],
    folder: Path,
    common: Sequence[str],
    data: Manifest,
) -> list[Run]:
    """Resolve every run.

    Args:
        found: the models.
        seeds: of each.
        folder: of the comparison.
        common: `key=value` for all models.
        data: the corpus.

    Raises:
        ConfigError: a config is not one for autoencoders, or a setting is not accepted.
    """
    recipe = share.load_recipe(RECIPE)
    plan = []
    for entry in found:
        values = configs.read_yaml(share.config_path(entry.config))
        if values.get("recipe", RECIPE) != RECIPE:
            raise ConfigError(
                f"{entry.config} is for the recipe {values['recipe']!r}; {RECIPE} can be compared"
            )
        for seed in seeds:
            place = folder / entry.label / f"seed-{seed}"
            own = (f"train.seed={seed}", f"run.dir={json.dumps(str(place))}")
            values = configs.override(values, (*common, *entry.overrides, *own))
            with registry.plugins(None):  # the user typed these configs
                config = configs.parse(recipe.Config, values, entry.label)
            config = config.model_copy(update={"model": name_speakers(config.model, data)})
            plan.append(Run(entry, seed, place, config))
    return plan


def shared_settings(run: Run) -> dict[str, Any]:
    """Return the deciding settings of a run that all models of a comparison must have alike."""
    kept = {}
    for key, value in runs.deciding(run.config.model_dump(mode="json")).items():
        name = key.replace("model.decoder.conv.", "model.decoder.")
        part = name.removeprefix("model.decoder.")
        if part in _SPEAKER_TABLE or any(key == m or key.startswith(f"{m}.") for m in MAY_DIFFER):
            continue
        kept[name] = value
    return kept


def refuse_unequal_terms(plan: Sequence[Run]) -> None:
    """Compare all models' settings with the first one's.

    Raises:
        ConfigError: two models differ in more than what makes them two models.
    """
    first, wanted = plan[0], _terms(plan[0])
    for run in plan[1:]:
        found = _terms(run)
        different = sorted(k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k))
        if different:
            key = different[0]
            raise ConfigError(
                f"{first.entry.label} and {run.entry.label} would not be compared on equal terms: "
                f"{key} is {wanted.get(key)!r} and {found.get(key)!r}"
                f"{f' ({len(different)} settings differ)' if len(different) > 1 else ''}; "
                f"give both the same, as with --set {key}=..."
            )


def _terms(run: Run) -> dict[str, Any]:
    """Return the shared settings, and what decides no run's result but a comparison's."""
    config = run.config
    equal = {"train.max_steps": config.train.max_steps, "data.manifest": config.data.manifest}
    return shared_settings(run) | equal


def open_study(folder: Path, plan: Sequence[Run], steps: int, split: str, data: Manifest) -> None:
    """Make the comparison's folder, or take it up again: same data, steps and settings.

    Raises:
        ConfigError: the folder holds a comparison, or a run, on other terms.
    """
    terms = {
        "format": "audiovq.comparison",
        "version": 1,
        "steps": steps,
        "split": split,
        "manifest_fingerprint": data.fingerprint(),
        "settings": json.loads(json.dumps(shared_settings(plan[0]))),
    }
    path = folder / "comparison.json"
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; give a folder with -o")
    if path.exists():
        _refuse_other_terms(folder, _read(path), terms)
    for run in plan:
        runs.refuse_other_settings(run.folder, run.config)
        _refuse_other_data(run, data)
        found = checkpoint.Store(run.folder / "checkpoints").steps()
        if found and found[-1] > steps:
            raise ConfigError(
                f"{run.folder} was trained for {found[-1]} steps, the comparison is of {steps}: "
                f"choose another folder with -o"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be a folder: {error.strerror}") from None
    atomic_write(path, json.dumps(terms, indent=1) + "\n")


def _refuse_other_data(run: Run, data: Manifest) -> None:
    """Look up what a run was trained on: a finished one is not resumed, which would refuse it."""
    corpus = checkpoint.Store(run.folder / "checkpoints").part("corpus")
    config = run.config
    wanted = runs.identity(data, config.data, config.model.sample_rate).value
    if corpus is not None and corpus["value"] != wanted:
        raise ConfigError(
            f"{run.folder} was trained on other data than {data.path} "
            f"({_short(corpus['value'])} then, {_short(wanted)} now): models would not "
            f"be on equal terms; choose another folder with -o"
        )


def _read(path: Path) -> Mapping[str, Any]:
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}; choose another folder") from None
    if not isinstance(values, dict) or values.get("format") != "audiovq.comparison":
        raise ConfigError(f"{path} is not of a comparison; choose another folder with -o")
    return values


def _refuse_other_terms(folder: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    what = {"manifest_fingerprint": "data", "steps": "steps", "split": "split"}
    for key, name in what.items():
        if old.get(key) != new[key]:
            raise ConfigError(
                f"{folder} holds a comparison with other {name} ({_short(old.get(key))} then, "
                f"{_short(new[key])} now): models would not be on equal terms; choose another "
                f"folder with -o"
            )
    a, b = dict(old.get("settings", {})), new["settings"]
    different = sorted(k for k in a.keys() & b.keys() if a[k] != b[k])
    if different:
        key = different[0]
        raise ConfigError(
            f"{folder} holds a comparison with other settings ({key}: {a[key]!r} then, "
            f"{b[key]!r} now); choose another folder with -o"
        )


def _short(value: object) -> str:
    return value[:12] if isinstance(value, str) else str(value)
