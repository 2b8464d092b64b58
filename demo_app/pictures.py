"""Pictures: units on every axis, legible on light and on dark ground."""

import functools
import io
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from audiovq import figures
from audiovq.compare.plots import rate_distortion as draw_rate_distortion
from audiovq.compare.table import Row

from .sound import Recording
from .work.changes import Span
from .work.compare import Comparison
from .work.edit import Edited
from .work.resynthesise import Resynthesis
from .work.units import Found, Unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#767676"  # 4.5 times the contrast to white and to black: for text on either
RANGE = 80.0  # dB below the loudest point that are shown
MOST_LABELS = 80  # units whose codes can be written side by side
MOST_LINES = 400  # units whose borders are drawn: of more, only the chosen ones are marked
_OWN = "own colour"  # marks what is drawn on a picture and not on its ground

_alone = threading.Lock()  # matplotlib's fonts are of one thread at a time
P = ParamSpec("P")
R = TypeVar("R")


def _one_at_a_time(draw: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(draw)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        with _alone:
            return draw(*args, **kwargs)

    return wrapped


@_one_at_a_time
def png(figure: "Figure") -> bytes:
    """Return a figure as the bytes of a PNG with a transparent ground."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", transparent=True, metadata={"Software": None})
    return buffer.getvalue()


def themed(figure: "Figure", ink: str = INK) -> "Figure":
    """Return the figure with text and lines in one colour, on a transparent ground."""
    from matplotlib.patches import FancyBboxPatch  # noqa: PLC0415  (optional)
    from matplotlib.text import Text  # noqa: PLC0415

    figure.patch.set_alpha(0.0)
    for ax in figure.axes:
        ax.patch.set_alpha(0.0)
        ax.tick_params(which="both", color=ink, labelcolor=ink)
        for spine in ax.spines.values():
            spine.set_edgecolor(ink)
    for text in figure.findobj(Text):
        if text.get_gid() != _OWN and text.get_color() in {"black", "k", "#000000"}:
            text.set_color(ink)
        if isinstance(box := text.get_bbox_patch(), FancyBboxPatch):
            box.set_alpha(0.0)
    return figure


@_one_at_a_time
def spectrograms(found: Resynthesis, ink: str = INK) -> "Figure":
    """Draw original, reconstruction (dB), and their difference (dB), on one axis of time (s)."""
    rate = found.original.sample_rate
    both = {
        "original": _levels(found.original),
        "reconstruction": _levels(found.reconstruction),
    }
    top = max(float(level.max()) for level in both.values())
    shown = {k: np.maximum(level - top, -RANGE) for k, level in both.items()}
    figure = figures.blank(9.0, 5.6)
    axes = figure.subplots(3, 1, sharex=True)
    for ax, (label, level) in zip(axes, shown.items(), strict=False):
        image = figures.mel_image(ax, level, rate)
        ax.set_title(label, loc="left", fontsize=10)
    figure.colorbar(image, ax=list(axes[:2]), label="level (dB below the loudest)", pad=0.01)
    last = figures.mel_image(axes[2], shown["reconstruction"] - shown["original"], rate)
    last.set(cmap="RdBu_r", clim=(-30, 30))
    axes[2].set_title("difference: red is louder in the reconstruction", loc="left", fontsize=10)
    axes[2].set_xlabel("time (s)")
    figure.colorbar(last, ax=axes[2], label="difference (dB)", pad=0.01, extend="both")
    return themed(figure, ink)


@_one_at_a_time
def codes(
    codes: Int[Tensor, "K T"],
    codebook_sizes: Sequence[int],
    layout: Sequence[str],
    frame_rate: float,
    ink: str = INK,
) -> "Figure":
    """Draw codes over time (s) and codebook; the colour is the code's number in its codebook."""
    figure = figures.blank(9.0, 1.3 + 0.22 * len(codes))
    _codes_image(figure.subplots(), codes, codebook_sizes, layout, frame_rate)
    return themed(figure, ink)


@_one_at_a_time
def units(
    found: Found,
    chosen: Sequence[int] | None = None,
    ink: str = INK,
    *,
    window: tuple[float, float] | None = None,
) -> "Figure":
    """Draw units with their times over the spectrogram, and mark every one that is `chosen`.

    Args:
        found: the units.
        chosen: codes of a unit; None: none is marked.
        ink: colour of text and lines.
        window: first and last time to show (s); None: all. Codes are written where they fit.
    """
    start, end = window or (0.0, found.recording.seconds)
    level = _levels(found.recording)
    figure = figures.blank(9.0, 2.9)
    ax = figure.subplots()
    shown = np.maximum(level - level.max(), -RANGE)
    image = figures.mel_image(ax, shown, found.recording.sample_rate)
    figure.colorbar(image, ax=ax, label="level (dB)", pad=0.01)
    inside = [u for u in found.units if u.end > start and u.start < end]
    faint = _faintness(len(inside))
    for unit in inside:
        if faint:
            ax.axvline(unit.start, color="white", linewidth=0.5, alpha=faint)
        if chosen is not None and unit.codes == tuple(chosen):
            ax.axvspan(unit.start, unit.end, facecolor="#22d3ee", alpha=0.45, linewidth=0)
    _write_codes(ax, inside, (start, end))
    ax.set_xlim(start, end)
    ax.set_xlabel("time (s)")
    title = f"{len(found.units)} units, {found.rate:.1f} per second"
    if inside and not faint:
        title += "; zoom in to see their borders"
    if chosen is not None:
        times = sum(u.codes == tuple(chosen) for u in found.units)
        title += f"; {'.'.join(map(str, chosen))} is marked, {times} times"
    ax.set_title(title, loc="left", fontsize=10)
    return themed(figure, ink)


@_one_at_a_time
def edited(before: Edited, after: Edited, frame_rate: float, ink: str = INK) -> "Figure":
    """Draw spectrograms before and after an edit, and the span that it made or changed."""
    rate = after.recording.sample_rate
    levels = {"before": _levels(before.recording), "after": _levels(after.recording)}
    top = max(float(level.max()) for level in levels.values())
    figure = figures.blank(9.0, 4.2)
    axes = figure.subplots(2, 1, sharex=True)
    for ax, (label, level) in zip(axes, levels.items(), strict=True):
        image = figures.mel_image(ax, np.maximum(level - top, -RANGE), rate)
        ax.set_title(label, loc="left", fontsize=10)
    longest = max(before.recording.seconds, after.recording.seconds)
    axes[0].set_xlim(0, longest)
    if after.span is not None:
        _bracket(axes[1], after.span, frame_rate)
    axes[1].set_xlabel("time (s)")
    figure.colorbar(image, ax=list(axes), label="level (dB)", pad=0.01)
    return themed(figure, ink)


@_one_at_a_time
def rate_distortion(found: Comparison, name: str = "log_mel_distance", ink: str = INK) -> "Figure":
    """Draw a score of every model over its rate (bit/s)."""
    return themed(draw_rate_distortion(_rows(found), name), ink)


@_one_at_a_time
def sounds(recordings: Mapping[str, Recording], ink: str = INK) -> "Figure":
    """Draw mel spectrograms of one rate, one below the other, by label."""
    rates = {r.sample_rate for r in recordings.values()}
    assert len(rates) == 1, rates
    longest = max(r.seconds for r in recordings.values())
    drawn = figures.spectrograms(
        {k: _padded(r) for k, r in recordings.items()}, rates.pop(), longest + 1
    )
    return themed(drawn, ink)


def _levels(recording: Recording) -> Float[np.ndarray, "80 S"]:
    return figures.levels_of(_padded(recording), recording.sample_rate)


def _padded(recording: Recording) -> Float[Tensor, "1 1 _"]:
    """Return sound at least as long as a window."""
    x = recording.x
    lacking = max(0, 1024 - x.shape[-1])
    return x if not lacking else F.pad(x, (0, lacking))


def _codes_image(
    ax: "Axes",
    codes: Int[Tensor, "K T"],
    codebook_sizes: Sequence[int],
    layout: Sequence[str],
    frame_rate: float,
) -> None:
    sizes = np.array(codebook_sizes, np.float64)[:, np.newaxis]
    K, T = codes.shape
    image = ax.imshow(
        100 * codes.numpy() / sizes,
        aspect="auto",
        cmap="turbo",
        vmin=0,
        vmax=100,
        extent=(0, T / frame_rate, K - 0.5, -0.5),
        interpolation="nearest",
    )
    ax.set_yticks(range(K), list(layout))
    ax.set_xlabel("time (s)")
    figure: Any = ax.figure
    figure.colorbar(image, ax=ax, label="code (% of N)", pad=0.01)


def _faintness(lines: int) -> float:
    """Return how opaque so many lines may be, that the spectrogram stays to be seen: 0 is none.

    The axis is some 800 pixels wide: of 500 lines of 0.6 only their white would be seen.
    """
    return 0.6 * min(1.0, 100 / max(1, lines)) if lines <= MOST_LINES else 0.0


def _write_codes(ax: "Axes", inside: Sequence[Unit], window: tuple[float, float]) -> None:
    """Write each unit's codes over it, where there are few enough."""
    if len(inside) > MOST_LABELS:
        return
    for unit in inside:
        middle = (max(unit.start, window[0]) + min(unit.end, window[1])) / 2
        ax.text(
            middle, 77, unit.label, color="white", fontsize=7, rotation=90, ha="center", va="top",
            gid=_OWN, clip_on=True,
        )  # fmt: skip


def _bracket(ax: "Axes", span: Span, frame_rate: float) -> None:
    for frame in (span.start, span.stop):
        ax.axvline(frame / frame_rate, color="#22d3ee", linewidth=1.5)


def _rows(found: Comparison) -> list[Row]:
    names = {"nominal": "bitrate", "unigram": "unigram_bitrate", "kl": "kl_bitrate"}
    rows = []
    for entry in found.entries:
        rates = {names[r.name]: r.bits_per_second for r in entry.found.rates if r.name in names}
        scores = {s.name: s.value for s in entry.found.scores if s.value is not None}
        rows.append(
            Row(
                label=entry.label,
                family=entry.name,
                bottleneck="",
                seeds=(),
                facts={},
                values={**rates, **scores},
                low={},
                high={},
            )
        )
    return rows
