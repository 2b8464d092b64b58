"""What a user asks to be evaluated, in words: models, prefixes, anchors, measures, judges."""

from collections.abc import Callable, Sequence
from pathlib import Path

from audiovq.autoencoder import Autoencoder
from audiovq.errors import ConfigError
from audiovq.eval import anchors, reconstruction
from audiovq.eval.plugged import Judge
from audiovq.eval.speaker_similarity import SpeakerJudge
from audiovq.eval.systems import ModelSystem, System
from audiovq.eval.word_error import WordJudge

ALL = "all"
_PLAIN = {"model", "runs"}  # folder names that tell nothing


def systems(
    load: Callable[[Path], Autoencoder],
    model: Path,
    *,
    codebooks: str = "",
    beside: Sequence[str] = (),
    anchor_names: str = "",
) -> list[System]:
    """Return the systems to evaluate, the model itself, or its first rate, first.

    Args:
        load: opens a model folder.
        model: the model that others are compared to.
        codebooks: numbers of codebooks with commas between, for every model that has more than
            one; empty: each model as it is.
        beside: other models, as `PATH` or `LABEL=PATH`.
        anchor_names: anchors with commas between; see `anchors`.

    Raises:
        ConfigError: something is not accepted.
        CheckpointError: a model cannot be loaded.
    """
    places = [_place(text) for text in (str(model), *beside)]
    numbers = _numbers(codebooks)
    found: list[System] = []
    for (label, path), name in zip(places, _labels([p for _, p in places]), strict=True):
        opened = load(path)
        if numbers and (not found or opened.num_codebooks > 1):
            found += [ModelSystem(opened, label or name, k) for k in numbers]
        else:
            found.append(ModelSystem(opened, label or name))
    return [*found, *anchors.parse(split(anchor_names), found[0].sample_rate)]


def measures(text: str) -> list[str] | None:
    """Return names of measures from `all`, from names with commas between, or from "" (None)."""
    return list(reconstruction.NAMES) if text == ALL else split(text) or None


def judges(speaker_model: str | None, asr: str | None, device: str) -> list[Judge]:
    """Return the judges that the user named.

    Raises:
        ConfigError: a name is not accepted, or transformers is not installed.
        CheckpointError: a model cannot be used.
    """
    found: list[Judge] = []
    if speaker_model:
        found.append(SpeakerJudge(speaker_model, device))
    if asr:
        found.append(WordJudge(asr, device))
    return found


def split(text: str) -> list[str]:
    """Return what stands between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _numbers(text: str) -> list[int]:
    parts = split(text)
    if not all(p.isdecimal() and int(p) > 0 for p in parts):
        raise ConfigError(f"codebooks={text!r}; numbers of codebooks such as 2,4,8 are accepted")
    return list(dict.fromkeys(map(int, parts)))


def _place(text: str) -> tuple[str, Path]:
    """Return label, "" if none is given, and path."""
    label, mark, path = text.partition("=")
    return (label, Path(path)) if mark and not Path(text).exists() else ("", Path(text))


def _labels(paths: Sequence[Path]) -> list[str]:
    """Return the shortest endings of paths that tell them apart."""
    parts = []
    for path in paths:
        resolved = path.resolve().parts
        parts.append(resolved[:-1] if resolved[-1] in _PLAIN and len(resolved) > 2 else resolved)
    depth = 1
    while depth < 8 and len({p[-depth:] for p in parts}) < len(parts):
        depth += 1
    return ["/".join(p[-depth:]) for p in parts]
