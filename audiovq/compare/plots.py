"""Rate against distortion, one point per model."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from audiovq.compare.table import Row
from audiovq.eval.values import METRICS
from audiovq.figures import blank, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#2563a8", "#c2410c", "#15803d", "#7e22ce", "#b91c1c", "#0e7490", "#a16207", "#be185d")


def rate_distortion(models: Sequence[Row], name: str) -> "Figure":
    """Draw a figure of every model over its rate.

    Discrete models: filled at the nominal rate, hollow at the unigram rate, a line between. VAEs:
    a diamond at their KL rate. Models without a rate: a level line. Models of one config are
    joined by a dotted line.

    Args:
        models: rows of the table.
        name: of the figure on the vertical axis.
    """
    drawing = blank(9.0, 5.6)
    ax = drawing.subplots()
    have = [r for r in models if name in r.values]
    families = list(dict.fromkeys(r.family for r in have))
    colours = {f: _COLOURS[i % len(_COLOURS)] for i, f in enumerate(families)}
    placed: list[tuple[float, float, str, str]] = []
    level: list[tuple[float, str, str]] = []
    for row in have:
        y, colour = row.values[name], colours[row.family]
        rate = _draw(ax, row, y, colour)
        if rate is None:
            level.append((y, row.label, colour))
        else:
            placed.append((rate, y, row.label, colour))
    for family in families:
        points = sorted((x, y) for x, y, label, _ in placed if _family(label, have) == family)
        if len(points) > 1:
            ax.plot(*zip(*points, strict=True), ":", color=colours[family], lw=1, zorder=1)
    ax.set_xscale("log")
    _rates(ax)
    _label(ax, placed)
    _label_at_edge(ax, level)
    metric = METRICS[name]
    better = {"higher": " (higher is better)", "lower": " (lower is better)", "": ""}
    ax.set_xlabel("rate (bit/s)")
    ax.set_ylabel(f"{metric.label}{f' ({metric.unit})' * bool(metric.unit)}{better[metric.better]}")
    _explain(ax)
    quiet(ax)
    return drawing


def _draw(ax: "Axes", row: Row, y: float, colour: str) -> float | None:
    """Draw a model; returns where its label belongs."""
    nominal, used, kl = (row.values.get(k) for k in ("bitrate", "unigram_bitrate", "kl_bitrate"))
    if nominal is not None and used is not None:
        ax.plot([nominal, max(used, 1.0)], [y, y], "-", color=colour, lw=1)
        ax.plot(nominal, y, "o", color=colour, ms=7)
        ax.plot(max(used, 1.0), y, "o", mfc="white", color=colour, ms=6)
        return nominal
    if kl is not None:
        ax.plot(max(kl, 1.0), y, "D", color=colour, ms=6)
        return max(kl, 1.0)
    ax.axhline(y, ls="--", lw=1, color=colour, alpha=0.7)
    return None


def _family(label: str, rows: Sequence[Row]) -> str:
    return next(r.family for r in rows if r.label == label)


def _label(ax: "Axes", placed: Sequence[tuple[float, float, str, str]]) -> None:
    """Write each label beside its point; where two would touch, one above the other."""
    figure: Any = ax.figure
    figure.draw_without_rendering()
    taken: list[tuple[float, float]] = []
    for x, y, text, colour in sorted(placed, key=lambda p: -p[1]):
        left, height = ax.transData.transform((x, y))
        level = height
        while any(abs(level - t) < 14 and abs(left - other) < 150 for other, t in taken):
            level -= 3
        taken.append((left, level))
        ax.annotate(
            text, (x, y), xytext=(9, (level - height) * 72 / figure.dpi),
            textcoords="offset points", color=colour, fontsize=9, va="center",
            arrowprops={"arrowstyle": "-", "lw": 0.5, "color": colour} if level < height else None,
        )  # fmt: skip


def _label_at_edge(ax: "Axes", level: Sequence[tuple[float, str, str]]) -> None:
    """Write the labels of level lines on the right, none closer to the next than a line of text."""
    figure: Any = ax.figure
    last = float("inf")
    for y, text, colour in sorted(level, reverse=True):
        own = ax.transData.transform((1.0, y))[1]
        height = min(own, last - 14 * figure.dpi / 100)
        last = height
        ax.annotate(
            text, (1.0, y), xycoords=("axes fraction", "data"),
            xytext=(6, (height - own) * 72 / figure.dpi), textcoords="offset points",
            color=colour, fontsize=9, va="center", annotation_clip=False,
        )  # fmt: skip


def _explain(ax: "Axes") -> None:
    """Say what the marks mean, whichever of them occur."""
    from matplotlib.lines import Line2D  # noqa: PLC0415

    marks = [
        Line2D([], [], marker="o", ls="", color="grey", label="nominal rate of codes"),
        Line2D([], [], marker="o", ls="", color="grey", mfc="white", label="unigram rate of codes"),
        Line2D([], [], marker="D", ls="", color="grey", label="KL rate of a VAE"),
        Line2D([], [], ls="--", color="grey", label="continuous, without a rate"),
    ]
    ax.legend(handles=marks, frameon=False, fontsize=8, loc="best")


def _rates(ax: "Axes") -> None:
    """Label rates as 500 and not as powers of ten, with room for labels on the right."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: PLC0415

    low, high = ax.get_xlim()
    ax.set_xlim(low, high * (high / low) ** 0.25)
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
