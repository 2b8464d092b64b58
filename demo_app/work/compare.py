"""The same recording through several models."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from audiovq.autoencoder import Autoencoder
from audiovq.errors import AudioVQError, ConfigError
from audiovq.eval.values import METRICS

from ..guard import friendly
from ..sound import Recording, checked
from .loudness import matched
from .resynthesise import Resynthesis, resynthesise
from .scores import SHOWN, Score

NONE = "\u2013"


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One model's part of a comparison.

    Attributes:
        name: of the model.
        found: what became of the recording.
        heard: the reconstruction at the loudness of the original.
        gain: that it got for that (dB).
        codebooks: how many first ones were asked for; None: all.
    """

    name: str
    found: Resynthesis
    heard: Recording
    gain: float
    codebooks: int | None = None

    @property
    def label(self) -> str:
        """The model's name, and how many of its codebooks were used where not all."""
        return self.name if self.codebooks is None else f"{self.name}, first {self.codebooks}"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Several models' reconstructions of one recording, as far as they are finished.

    Attributes:
        original: as it was given, at the loudness of the others.
        entries: in the order asked for.
        failed: by model, why it has none, in one line.
        done: share of the models that are finished, in [0, 1].
    """

    original: Recording
    entries: tuple[Compared, ...]
    failed: Mapping[str, str]
    done: float

    def header(self) -> list[str]:
        """Return the names of the table's columns, with units."""
        return [
            "model",
            "nominal (bit/s)",
            "entropy or KL (bit/s)",
            "file (bit/s)",
            *(_column(name) for name in SHOWN),
            "times real time",
            "gain (dB)",
        ]

    def rows(self) -> list[list[str]]:
        """Return the table: a row per model; "\u2013" where there is no figure."""
        found = []
        for entry in self.entries:
            rates = {r.name: f"{r.bits_per_second:,.0f}" for r in entry.found.rates}
            scores = {s.name: s for s in entry.found.scores}
            found.append([
                entry.label,
                rates.get("nominal", NONE),
                rates.get("unigram", rates.get("kl", NONE)),
                rates.get("packed", NONE),
                *(_figure(scores.get(name)) for name in SHOWN),
                f"{entry.found.speed:.1f}",
                f"{entry.gain:+.1f}",
            ])  # fmt: skip
        return found


def compare(
    load: Callable[[str], Autoencoder],
    names: Sequence[str],
    recording: Recording,
    codebooks: Mapping[str, int] | None = None,
) -> Iterator[Comparison]:
    """Yield the comparison after each model, with one more entry; stops when it is closed.

    Args:
        load: gives a model by name (`Shelf.model`).
        names: of the models.
        recording: at any rate.
        codebooks: by model, how many first codebooks to use; others use all.

    Raises:
        ConfigError: no model is named, or one twice.
        AudioError: the recording is empty or not finite.
    """
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"models {list(names)}: name at least one, and each once")
    return _each(load, names, checked(recording), codebooks or {})


def _each(
    load: Callable[[str], Autoencoder],
    names: Sequence[str],
    recording: Recording,
    codebooks: Mapping[str, int],
) -> Iterator[Comparison]:
    results: dict[str, Resynthesis] = {}
    failed: dict[str, str] = {}
    for number, name in enumerate(names, 1):
        try:
            results[name] = resynthesise(load(name), recording, codebooks.get(name))
        except AudioVQError as error:  # the others are not of worse use for it
            failed[name] = friendly(error)
        (original, _), *heard = matched(recording, [r.reconstruction for r in results.values()])
        yield Comparison(
            original=original,
            entries=tuple(
                Compared(name=n, found=r, heard=h, gain=g, codebooks=codebooks.get(n))
                for (n, r), (h, g) in zip(results.items(), heard, strict=True)
            ),
            failed=dict(failed),
            done=number / len(names),
        )


def _column(name: str) -> str:
    unit = METRICS[name].unit
    return f"{METRICS[name].label}{f' ({unit})' * bool(unit)}"


def _figure(score: Score | None) -> str:
    if score is None or score.value is None:
        return NONE
    return f"{score.value:,.{METRICS[score.name].digits}f}"
