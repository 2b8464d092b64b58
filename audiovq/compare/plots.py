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
    for row in have:
        rate = _draw(ax, row, row.values[name], colours[row.family])
        if rate is not None:
            placed.append((rate, row.values[name], row.label, colours[row.family]))
    for family in families:
        points = sorted((x, y) for x, y, label, _ in placed if _family(label, have) == family)
        if len(points) > 1:
            ax.plot(*zip(*points, strict=True), ":", color=colours[family], lw=1, zorder=1)
    ax.set_xscale("log")
    _label(ax, placed)
    metric = METRICS[name]
    better = {"higher": " (higher is better)", "lower": " (lower is better)", "": ""}
    ax.set_xlabel("rate (bit/s)")
    ax.set_ylabel(f"{metric.label}{f' ({metric.unit})' * bool(metric.unit)}{better[metric.better]}")
    _rates(ax)
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
    ax.axhline(y, ls="--", lw=1, color=colour)
    ax.annotate(
        row.label, (1.0, y), xycoords=("axes fraction", "data"), xytext=(4, 0),
        textcoords="offset points", color=colour, fontsize=9, va="center", annotation_clip=False,
    )  # fmt: skip
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


def _rates(ax: "Axes") -> None:
    """Label rates as 500 and not as powers of ten, with room for labels on the right."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: PLC0415

    low, high = ax.get_xlim()
    ax.set_xlim(low, high * (high / low) ** 0.25)
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
