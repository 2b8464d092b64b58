"""Rate against distortion, one point per model; how much of their codebooks models use."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from audiovq.compare.table import Row
from audiovq.eval.values import METRICS
from audiovq.figures import blank, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#2563a8", "#c2410c", "#15803d", "#7e22ce", "#b91c1c", "#0e7490", "#a16207", "#be185d")
# Where a label may stand, nearest first: points right of and above its mark.
_PLACES = (
    (9, 0), (0, 12), (0, -12), (9, 12), (9, -12),
    *((right, up) for far in range(26, 83, 14) for up in (far, -far) for right in (0, 12)),
)  # fmt: skip


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
    metric = METRICS[name]
    better = {"higher": " (higher is better)", "lower": " (lower is better)", "": ""}
    ax.set_xlabel("rate (bit/s)" if placed else "no model has a rate")
    ax.set_ylabel(f"{metric.label}{f' ({metric.unit})' * bool(metric.unit)}{better[metric.better]}")
    quiet(ax)
    _explain(drawing)
    _rates(ax, known=bool(placed))
    _label_at_edge(ax, level)
    rates = ("bitrate", "unigram_bitrate", "kl_bitrate")
    marks = [(max(r.values[k], 1.0), r.values[name]) for r in have for k in rates if k in r.values]
    _label(ax, placed, marks)
    return drawing


def codebook_use(models: Sequence[Row]) -> "Figure":
    """Draw two bars per discrete model: its usage, and its perplexity over the codebook's size.

    Args:
        models: rows of the table; at least one of them has a codebook.
    """
    have = [r for r in models if "usage" in r.values and "codebook_size" in r.facts]
    drawing = blank(9.0, 0.45 * len(have) + 1.1)
    ax = drawing.subplots()
    for at, row in enumerate(have):
        size, codes = row.facts["codebook_size"], row.values["perplexity"]
        bars = (("usage", row.values["usage"]), ("perplexity / size", codes / size))
        for (label, share), shift, colour in zip(bars, (-0.2, 0.2), _COLOURS, strict=False):
            first = label if at == 0 else None
            ax.barh(at + shift, 100 * share, 0.38, color=colour, label=first)
        ax.text(102, at, f"{codes:,.0f} of {size:,.0f}", va="center", fontsize=9)
    ax.set_yticks(range(len(have)), [r.label for r in have])
    ax.invert_yaxis()
    ax.set_xlim(0, 118)
    ax.set_xticks(range(0, 101, 20))
    ax.set_xlabel("share of the codebook (%); at the right: perplexity of size")
    quiet(ax)
    drawing.legend(frameon=False, loc="outside upper right", ncols=2, fontsize=8)
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


def _label(
    ax: "Axes",
    placed: Sequence[tuple[float, float, str, str]],
    marks: Sequence[tuple[float, float]],
) -> None:
    """Write each label beside its point, or the nearest place where it touches no other."""
    from matplotlib.text import Text  # noqa: PLC0415  (optional)
    from matplotlib.transforms import Bbox  # noqa: PLC0415

    figure: Any = ax.figure
    figure.draw_without_rendering()  # fixes the layout, which the measured boxes depend on
    inside = ax.get_window_extent()
    points = [ax.transData.transform(mark) for mark in marks]
    taken = [Bbox.from_extents(x - 7, y - 7, x + 7, y + 7) for x, y in points]
    for x, y, text, colour in sorted(placed, key=lambda p: -p[1]):
        note = ax.annotate(
            text, (x, y), xytext=(9, 0), textcoords="offset points", color=colour, fontsize=9,
            va="center", arrowprops={"arrowstyle": "-", "lw": 0.5, "color": colour, "shrinkB": 4},
            bbox={"facecolor": "white", "alpha": 0.7, "lw": 0, "pad": 0.5},
        )  # fmt: skip
        for right, up in _PLACES:
            note.set_position((right, up))
            note.set_horizontalalignment("left" if right else "center")
            note.get_window_extent()  # moves it
            box = Text.get_window_extent(note)  # without its line to the point
            within = inside.containsx(box.x1) and inside.containsy(box.y0)
            if within and not any(box.overlaps(other) for other in taken):
                break
        if note.arrow_patch is not None:
            note.arrow_patch.set_visible(abs(note.xyann[1]) > 14)
        taken.append(box)


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


def _explain(drawing: "Figure") -> None:
    """Say what the marks mean, whichever of them occur."""
    from matplotlib.lines import Line2D  # noqa: PLC0415

    marks = [
        Line2D([], [], marker="o", ls="", color="grey", label="nominal rate of codes"),
        Line2D([], [], marker="o", ls="", color="grey", mfc="white", label="unigram rate of codes"),
        Line2D([], [], marker="D", ls="", color="grey", label="KL rate of a VAE"),
        Line2D([], [], ls="--", color="grey", label="continuous, without a rate"),
    ]
    drawing.legend(handles=marks, frameon=False, fontsize=8, loc="outside upper center", ncols=4)


def _rates(ax: "Axes", *, known: bool) -> None:
    """Label rates as 500 and not as powers of ten, with room for labels on the right."""
    from matplotlib.ticker import (  # noqa: PLC0415
        FuncFormatter,
        LogLocator,
        NullFormatter,
        NullLocator,
    )

    if not known:  # level lines alone: any number below them would be made up
        ax.xaxis.set_major_locator(NullLocator())
        ax.xaxis.set_minor_locator(NullLocator())
        return
    low, high = ax.get_xlim()
    ax.set_xlim(low, high * (high / low) ** 0.25)
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
