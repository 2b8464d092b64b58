"""Pictures for pages and snapshots; matplotlib is imported when one is drawn."""

import importlib.util
import io
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from audiovq.errors import ConfigError
from audiovq.losses.spectral import MelFilters, Spectrogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_WINDOW, _BANDS = 1024, 80  # samples; mel bands


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def blank(width: float, height: float) -> "Figure":
    """Return an empty figure, in inches.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    if not can_draw():
        raise ConfigError('pictures need matplotlib: pip install "audiovq[train]"')
    os.environ.setdefault("MPLBACKEND", "Agg")
    from matplotlib.figure import Figure  # noqa: PLC0415  (optional, and slow to import)

    return Figure(figsize=(width, height), dpi=110, layout="constrained")


def png(figure: "Figure") -> bytes:
    """Return a figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def spectrograms(
    sounds: Mapping[str, Float[Tensor, "1 1 L"]], sample_rate: int, seconds: float = 6.0
) -> "Figure":
    """Draw mel spectrograms one below the other, in dB below the loudest point of all.

    Args:
        sounds: waveforms by label, at most `seconds` of each are shown.
        sample_rate: Hz.
        seconds: longest stretch to draw.
    """
    figure = blank(9.0, 1.9 * len(sounds) + 0.5)
    axes = np.atleast_1d(figure.subplots(len(sounds), 1, sharex=True))
    levels = {
        k: levels_of(x[..., : int(seconds * sample_rate)], sample_rate) for k, x in sounds.items()
    }
    top = max(float(level.max()) for level in levels.values())
    image = None
    for ax, (label, level) in zip(axes, levels.items(), strict=True):
        image = mel_image(ax, level - top, sample_rate)
        ax.set_title(label, loc="left", fontsize=10)
    axes[-1].set_xlabel("time (s)")
    assert image is not None
    figure.colorbar(image, ax=list(axes), label="level (dB)", pad=0.01)
    return figure


def levels_of(x: Float[Tensor, "1 1 L"], sample_rate: int) -> Float[np.ndarray, "80 S"]:
    """Return a log-mel spectrogram: dB, one column every 256 samples."""
    magnitude = MelFilters(sample_rate, _WINDOW, _BANDS)(Spectrogram(_WINDOW)(x))[0]
    level: np.ndarray = 20 * torch.log10(magnitude.clamp_min(1e-6)).numpy()
    return level


def mel_image(ax: "Axes", level: Float[np.ndarray, "80 S"], sample_rate: int) -> "AxesImage":
    """Draw a log-mel spectrogram of at most 0 dB over time (s), with kHz on its side."""
    step = _WINDOW / 4 / sample_rate
    image = ax.imshow(
        level,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=-80,
        vmax=0,
        extent=(-0.5 * step, (level.shape[1] - 0.5) * step, 0, _BANDS),  # windows are centred
        interpolation="nearest",
    )
    ax.set_xlim(left=0)
    filters = MelFilters(sample_rate, _WINDOW, _BANDS).filters
    centres = filters.argmax(dim=1).numpy() * sample_rate / _WINDOW
    kilohertz = [f for f in (0.5, 1, 2, 4, 8, 16) if 1000 * f < sample_rate / 2]
    ticks = np.interp([1000 * f for f in kilohertz], centres, np.arange(_BANDS) + 0.5)
    ax.set_yticks(ticks, [f"{f:g}" for f in kilohertz])
    ax.set_ylabel("frequency (kHz)")
    return image


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    ylabel: str,
    *,
    log_scale: bool = False,
    bottom: float | None = None,
) -> "Figure":
    """Draw values over steps, one line per label; many labels stand beside the axes."""
    many = len(series) > 6
    figure = blank(9.0, 4.6 if many else 2.8)
    ax = figure.subplots()
    for number, (label, (steps, values)) in enumerate(series.items()):
        few = len(steps) < 30
        style = ("-", "--", ":")[number // 10 % 3]  # colours come back after ten
        ax.plot(
            steps, values, style, label=label, linewidth=1.6, marker="o" if few else None,
            markersize=4,
        )  # fmt: skip
    ax.set_xlabel("step")
    ax.set_ylabel(ylabel)
    if log_scale:
        ax.set_yscale("log")
        _plain_numbers(ax)
    if bottom is not None:
        ax.set_ylim(bottom=bottom)
    if many:
        ax.legend(frameon=False, bbox_to_anchor=(1.0, 1.0), loc="upper left", fontsize=8)
    else:
        ax.legend(frameon=False)
    quiet(ax)
    return figure


def code_shares(counts: Mapping[str, Sequence[int]]) -> "Figure":
    """Draw how evenly codes are used: the share of each code, from the commonest to the rarest.

    Args:
        counts: how often each code occurred, by label, such as `Report.counts[0]`.
    """
    figure = blank(9.0, 2.8)
    ax = figure.subplots()
    for label, each in counts.items():
        shares = np.sort(np.asarray(each, np.float64))[::-1] / max(1, sum(each))
        used = int((shares > 0).sum())
        line = ax.plot(
            np.arange(1, used + 1),
            100 * shares[:used],
            label=f"{label}: {used:,} of {len(each):,} codes used",
        )
        ax.axhline(100 / len(each), color=line[0].get_color(), linestyle=":", linewidth=1)
    ax.set_yscale("log")
    _plain_numbers(ax)
    ax.set_xlim(left=0)
    ax.set_xlabel("codes, commonest first")
    ax.set_ylabel("share of frames (%)")
    ax.legend(frameon=False, title="dotted: all codes equally common")
    quiet(ax)
    return figure


def quiet(ax: "Axes") -> None:
    """Leave of the frame and grid what is needed to read values."""
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)


def _plain_numbers(ax: "Axes") -> None:
    """Label a logarithmic axis with 0.5 and not with powers of ten: it spans one decade or two."""
    from matplotlib.ticker import FuncFormatter, NullFormatter  # noqa: PLC0415  (optional)

    plain = FuncFormatter(lambda y, _: f"{y:g}")
    low, high = ax.get_ylim()
    ax.yaxis.set_major_formatter(plain)
    ax.yaxis.set_minor_formatter(plain if high < 10 * low else NullFormatter())


def bars(values: Sequence[float], xlabel: str, ylabel: str) -> "Figure":
    """Draw values side by side."""
    figure = blank(9.0, 2.4)
    ax = figure.subplots()
    ax.bar(range(len(values)), values, width=1.0)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.margins(x=0.01)
    return figure


def from_log(entries: Sequence[Mapping[str, Any]], key: str) -> tuple[list[float], list[float]]:
    """Return steps and values of one key of a run's log."""
    found = [(e["step"], e[key]) for e in entries if key in e]
    return [float(s) for s, _ in found], [float(v) for _, v in found]
