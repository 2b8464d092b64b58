"""Pictures of units: which phones each stands for, how long its runs are, what it sounds like."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int64

from audiovq.figures import blank, quiet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INCHES_PER_PHONE = 0.145


def units_by_phone(counts: Int64[np.ndarray, "P U"], names: Sequence[str]) -> "Figure":
    """Draw what share of each unit's frames falls on each phone.

    A column is a unit, normalised to one; units are sorted by the phone they stand for, then by how
    surely, and phones by how many units stand for them: good units make a clean staircase.

    Args:
        counts: phones by units.
        names: of the phones.
    """
    counts = counts[:, counts.any(axis=0)]
    shares = counts / counts.sum(axis=0)
    dominant = shares.argmax(axis=0)
    votes = np.bincount(dominant, minlength=len(names))
    rows = np.lexsort((np.arange(len(names)), -votes))  # the phone of most units on top
    rank = np.argsort(rows)
    columns = np.lexsort((-shares.max(axis=0), rank[dominant]))
    figure = blank(9.0, 1.2 + _INCHES_PER_PHONE * len(names))
    ax = figure.subplots()
    image = ax.imshow(
        shares[rows][:, columns],
        aspect="auto",
        cmap="Blues",
        vmin=0,
        vmax=1,
        interpolation="nearest",
    )
    ax.set_yticks(range(len(names)), [names[i] for i in rows], fontsize=7)
    ax.set_xlabel(f"{counts.shape[1]} units, sorted by their commonest phone")
    ax.set_ylabel("phone, by number of units")
    figure.colorbar(image, ax=ax, label="share of the unit's frames", pad=0.01)
    return figure


def durations(spans: Mapping[str, Sequence[float]], step: float, most: float = 0.3) -> "Figure":
    """Draw how long runs of units and phones last.

    Args:
        spans: lengths (s) by label.
        step: width of a bin (s).
        most: longest shown (s); longer ones count in the last bin.
    """
    figure = blank(9.0, 2.6)
    ax = figure.subplots()
    edges = np.arange(0.5, np.ceil(most / step) + 1.5) * step
    for label, values in spans.items():
        cut = np.clip(values, edges[0], edges[-1] - step / 2)
        shares = np.histogram(cut, edges)[0] / max(len(values), 1)
        ax.step(1000 * (edges[:-1] + step / 2), 100 * shares, where="mid", label=label)
    ax.set_xlabel(f"duration (ms; the last bin holds all from {1000 * (edges[-1] - step):.0f} ms)")
    ax.set_ylabel("share (%)")
    ax.legend(frameon=False)
    quiet(ax)
    return figure


def average(
    level: Float[np.ndarray, "M S"], seconds: float, hop: float, kilohertz: Sequence[float]
) -> "Figure":
    """Draw an average log-mel spectrogram with the unit's own frame marked.

    Args:
        level: dB.
        seconds: on either side of the centre.
        hop: length of a frame of units (s).
        kilohertz: centre of each mel band.
    """
    figure = blank(2.7, 1.9)
    ax = figure.subplots()
    top = float(level.max())
    span = (-1000 * seconds, 1000 * seconds, -0.5, level.shape[0] - 0.5)
    ax.imshow(
        level - top, origin="lower", aspect="auto", cmap="magma", vmin=-60, vmax=0, extent=span,
        interpolation="nearest",
    )  # fmt: skip
    for edge in (-500 * hop, 500 * hop):
        ax.axvline(edge, color="white", linewidth=0.8, linestyle=":")
    marks = [f for f in (0.5, 1, 2, 4, 8) if f < kilohertz[-1]]
    ax.set_yticks(np.interp(marks, kilohertz, np.arange(len(kilohertz))), [f"{f:g}" for f in marks])
    ax.tick_params(labelsize=7)
    ax.set_xlabel("ms", fontsize=7)
    ax.set_ylabel("kHz", fontsize=7)
    return figure
