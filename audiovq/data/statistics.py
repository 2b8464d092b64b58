"""What a corpus sounds like in figures: OUT.stats.json and OUT.stats.png beside a manifest."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from audiovq import figures
from audiovq.audio import Levels
from audiovq.data.manifest import Record
from audiovq.errors import ManifestError
from audiovq.files import atomic_write

DEFINITIONS = {
    "duration_s": "length of an utterance, in seconds",
    "level_dbfs": "of a file: RMS of what is no pause, in dB below a full-scale square wave",
    "clipped": "of a file: share of samples at full scale that follow another at full scale",
    "pauses": "of a file: share of 20 ms frames over 40 dB below its loudest one",
}
_LABELS = {
    "duration_s": "length (s)",
    "level_dbfs": "level without pauses (dBFS)",
    "clipped": "share of clipped samples",
    "pauses": "share of pauses",
}
Values = Mapping[str, npt.NDArray[np.float64]]


def gather(records: Sequence[Record], levels: Sequence[Levels]) -> dict[str, Any]:
    """Return every figure by name."""
    return {
        "duration_s": np.array([r.duration for r in records]),
        "level_dbfs": np.array([f.level_dbfs for f in levels]),
        "clipped": np.array([f.clipped for f in levels]),
        "pauses": np.array([f.pauses for f in levels]),
    }


def summary(values: Values) -> dict[str, Any]:
    """Return mean and quantiles of every figure, and how many files clip at all."""
    told: dict[str, Any] = {name: _spread(v) for name, v in values.items() if len(v)}
    told["files_with_clipping"] = int((values["clipped"] > 0).sum())
    return told


def write(out: Path, values: Values) -> dict[str, Any]:
    """Write OUT.stats.json and, where matplotlib is installed, OUT.stats.png.

    Returns:
        the summary.

    Raises:
        ManifestError: they cannot be written.
    """
    told = summary(values)
    picture = out.with_name(f"{out.name}.stats.png")
    text = json.dumps(told | {"definitions": DEFINITIONS}, indent=2)
    try:
        atomic_write(out.with_name(f"{out.name}.stats.json"), text + "\n")
        if figures.can_draw():
            atomic_write(picture, figures.png(draw(values)))
        else:
            picture.unlink(missing_ok=True)  # one of an earlier run would not fit
    except OSError as error:
        raise ManifestError(f"cannot write the figures of {out}: {error.strerror}") from None
    return told


def draw(values: Values) -> Any:
    """Draw a histogram of every figure."""
    figure = figures.blank(9.0, 5.0)
    for ax, (name, label) in zip(figure.subplots(2, 2).flat, _LABELS.items(), strict=True):
        v = values[name]
        share = (
            (0.0, max(float(v.max(initial=0.0)), 1e-3)) if name in {"clipped", "pauses"} else None
        )
        ax.hist(v, bins=min(40, max(5, len(v) // 4)), range=share, color="tab:blue")
        ax.set_xlabel(label)
        ax.set_ylabel("utterances" if name == "duration_s" else "files")
        if name == "clipped":  # mostly none, and of interest where there is some
            ax.set_yscale("symlog", linthresh=1)
    return figure


def _spread(values: npt.NDArray[np.float64]) -> dict[str, float]:
    low, five, half, most, high = np.quantile(values, [0, 0.05, 0.5, 0.95, 1])
    spread = {"mean": values.mean(), "min": low, "p5": five, "median": half, "p95": most}
    return {name: round(float(v), 6) for name, v in (spread | {"max": high}).items()}
