"""One picture: noise, lost packets, flipped bits, and everything else."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from audiovq.eval.estimate import Estimate
from audiovq.figures import blank, quiet
from audiovq.stress import channel, conceal
from audiovq.stress.conditions import ALL, BLOCKS, CHANCE, CLEAN, ERRORS, LOSSES, PACKETS, Sound
from audiovq.stress.inputs import SNRS
from audiovq.stress.table import Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#2563a8", "#c2410c", "#15803d", "#7e22ce")
_NOISES = ("white", "pink", "babble")
_METHODS = {
    "silence": "silence", "repeat": "last code again", "prior-best": "prior, most probable",
    "prior-draw": "prior, drawn",
}  # fmt: skip
Series = Sequence[tuple[float, Estimate]]


def draw(lines: Sequence[Line]) -> "Figure":
    """Draw codes that stay and STOI under every condition that the lines have.

    Bars are 95 % intervals.
    """
    by_name = {line.name: line.figures for line in lines}
    drawing = blank(11.0, 10.5)
    parts: Any = drawing.subfigures(2, 1, height_ratios=[1.5, 1])
    axes = parts[0].subplots(2, 2)
    _noise_codes(axes[0, 0], by_name)
    _noise_stoi(axes[0, 1], by_name)
    _losses(axes[1, 0], by_name)
    _bits(axes[1, 1], by_name)
    _others(parts[1].subplots(), by_name)
    return drawing


Figures = Mapping[str, Mapping[str, Estimate]]  # by condition and figure


def _noise_codes(ax: "Axes", found: Figures) -> None:
    for kind, colour in zip(_NOISES, _COLOURS, strict=False):
        _line(
            ax,
            _series(found, {db: f"{kind}-{db}" for db in SNRS}, "kept_first", 100.0),
            kind,
            colour,
        )
    _level(ax, found, (CHANCE, "kept_first"), "chance", 100.0)
    ax.set_xticks(SNRS)
    _axes(ax, "noise: SNR (dB)", "codes kept, first codebook (%)")
    ax.set_ylim(bottom=0)


def _noise_stoi(ax: "Axes", found: Figures) -> None:
    for kind, colour in zip(_NOISES, _COLOURS, strict=False):
        names = {db: f"{kind}-{db}" for db in SNRS}
        _line(ax, _series(found, names, "stoi"), kind, colour)
        _line(ax, _series(found, names, "stoi_heard"), None, colour, ":")
    _level(ax, found, (CLEAN, "stoi"), "no noise")
    ax.set_xticks(SNRS)
    _axes(ax, "noise: SNR (dB); dotted: before the model", "STOI of the reconstruction")


def _losses(ax: "Axes", found: Figures) -> None:
    ms = PACKETS[1]
    for method, colour in zip(conceal.METHODS, _COLOURS, strict=True):
        for pattern, style in zip(channel.PATTERNS, ("-", "--"), strict=True):
            names = {p: f"loss-{ms}ms-{p}-{pattern}-{method}" for p in LOSSES}
            label = _METHODS[method] if pattern == channel.PATTERNS[0] else None
            _line(ax, _series(found, names, "stoi_less_clean"), label, colour, style)
    ax.set_xticks(LOSSES)
    _axes(ax, f"packets of {ms} ms lost (%); dashed: in bursts", "STOI less undamaged")


def _bits(ax: "Axes", found: Figures) -> None:
    kinds = {"codes of fixed width": "bits-"}
    for name, seconds, coded in BLOCKS:
        how = "prior-coded" if coded else "bit-packed"
        kinds[f"file, {how}, blocks of {seconds:g} s"] = f"file-{name}-"
    for (label, begin), colour in zip(kinds.items(), _COLOURS, strict=True):
        names = {float(rate): f"{begin}{rate}" for rate in ERRORS}
        _line(ax, _series(found, names, "stoi_less_clean"), label, colour)
    ax.set_xscale("log")
    _axes(ax, "share of bits flipped", "STOI less undamaged")


def _others(ax: "Axes", found: Figures) -> None:
    """Draw bars per change of the sound that is no noise: codes kept, and unit edit distance."""
    names = [
        n
        for n, c in ALL.items()
        if isinstance(c, Sound)
        and n.split("-")[0] not in _NOISES
        and "unit_edit" in found.get(n, {})
    ]
    bars = (("kept_first", -0.2, "codes kept"), ("unit_edit", 0.2, "unit edit distance"))
    for (figure, shift, label), colour in zip(bars, _COLOURS, strict=False):
        have = [
            (at + shift, found[name][figure].scaled(100.0))
            for at, name in enumerate(names)
            if figure in found[name]
        ]
        if not have:
            continue
        ax.bar([x for x, _ in have], [e.value for _, e in have], 0.38, color=colour, label=label)
        for x, estimate in have:
            _error(ax, x, estimate)
    _level(ax, found, (CHANCE, "kept_first"), "chance (codes kept)", 100.0)
    ax.set_xticks(range(len(names)), names, rotation=35, ha="right", fontsize=9)
    _axes(ax, "", "share (%)")


def _series(found: Figures, names: Mapping[Any, str], figure: str, scale: float = 1.0) -> Series:
    return [
        (float(x), found[name][figure].scaled(scale))
        for x, name in names.items()
        if figure in found.get(name, {})
    ]


def _line(ax: "Axes", series: Series, label: str | None, colour: str, style: str = "-") -> None:
    if not series:
        return
    x = [at for at, _ in series]
    marker = "o" if style == "-" else None
    ax.plot(x, [e.value for _, e in series], style, color=colour, label=label, marker=marker, ms=4)
    if style == "-":
        for at, estimate in series:
            _error(ax, at, estimate, colour)


def _error(ax: "Axes", at: float, estimate: Estimate, colour: str = "black") -> None:
    if estimate.low is not None and estimate.high is not None:
        ax.plot([at, at], [estimate.low, estimate.high], "-", color=colour, lw=0.8)


def _level(
    ax: "Axes",
    found: Figures,
    where: tuple[str, str],
    label: str,
    scale: float = 1.0,
) -> None:
    name, figure = where
    if figure in found.get(name, {}):
        value = found[name][figure].value * scale
        ax.axhline(value, ls=(0, (1, 2)), color="grey", lw=1.2, label=label)


def _axes(ax: "Axes", xlabel: str, ylabel: str) -> None:
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    quiet(ax)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=True, framealpha=0.8, edgecolor="none", fontsize=8)
    else:
        ax.text(0.5, 0.5, "not measured", ha="center", color="grey", transform=ax.transAxes)
