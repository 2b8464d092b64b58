"""Pictures of priors: which code follows which, and how surprising each code is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from torch import Tensor

from audiovq.eval.prior_summary import Follow, Surprise
from audiovq.figures import blank, levels_of, mel_image, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

LONG = 6.0  # s; longer sounds are drawn twice as wide
_LEAST = 16.0  # bits; the top of an axis of surprise is at least here, so that most are alike


def follows(follow: Follow) -> "Figure":
    """Draw which code follows which, and beside it how often each stays."""
    size = len(follow.codes)
    figure = blank(9.0, 7.4)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(6.5, 1.0))
    image = left.imshow(
        np.array(follow.lift).reshape(size, size), cmap="RdBu_r", vmin=-5, vmax=5,
        interpolation="nearest", aspect="auto",
    )  # fmt: skip
    left.set_xlabel(f"next code ({size} codes, in the same order)")
    left.set_ylabel("code, those with similar neighbours together")
    figure.colorbar(
        image, ax=left, location="top", shrink=0.6, pad=0.01,
        label="log2 P(next | code) / P(next)  (red: likelier than by chance)",
    )  # fmt: skip
    right.barh(range(size), [100 * s for s in follow.stays], height=1.0)
    right.set_xlabel("stays (%)")
    right.margins(y=0)
    right.tick_params(left=False)
    quiet(right)
    return figure


def durations(runs: Sequence[int], frame: float, most: int = 15) -> "Figure":
    """Draw how long runs of equal codes last.

    Args:
        runs: how many last 1, 2, ... frames.
        frame: length of a frame (s).
        most: frames of the last bar, which holds all longer ones, too.
    """
    bars = [*runs[: most - 1], sum(runs[most - 1 :])]
    figure = blank(9.0, 2.4)
    ax = figure.subplots()
    ax.bar(range(1, len(bars) + 1), [100 * b / max(1, sum(bars)) for b in bars], width=0.85)
    ticks = range(1, len(bars) + 1, 2)
    ax.set_xticks(ticks, [f"{1000 * frame * t:g}" for t in ticks])
    ax.set_xlabel(f"duration of a run of equal codes (ms; the last bar: {most} frames or more)")
    ax.set_ylabel("share of runs (%)")
    quiet(ax)
    return figure


def spread(surprise: Surprise, nominal: float) -> "Figure":
    """Draw how many codes are how surprising; repeats of the code before apart from the rest.

    Args:
        surprise: the figures.
        nominal: bits per code without any prior.
    """
    repeated, changed = np.array(surprise.repeated), np.array(surprise.changed)
    total = max(1, int(repeated.sum() + changed.sum()))
    left = np.arange(len(repeated)) * surprise.width
    figure = blank(9.0, 2.9)
    ax = figure.subplots()
    kinds = ((repeated, 0, "equal to the code before"), (changed, repeated, "another code"))
    for counts, below, label in kinds:
        share = 100 * counts.sum() / total
        ax.bar(
            left, 100 * counts / total, surprise.width, 100 * np.asarray(below) / total,
            align="edge", label=f"{label}: {share:.0f} % of codes",
        )  # fmt: skip
    mean = float(np.mean(surprise.row_means))
    ax.axvline(mean, color="black", linewidth=1, label=f"mean: {mean:.2f} bits")
    ax.axvline(nominal, color="black", linewidth=1, ls=":", label=f"nominal: {nominal:.2f} bits")
    ax.set_xlim(0, np.flatnonzero(repeated + changed).max(initial=0) * surprise.width + 1)
    ax.set_xlabel("surprise (bits)")
    ax.set_ylabel("share of codes (%)")
    ax.legend(frameon=False)
    quiet(ax)
    return figure


def positions(surprise: Surprise, frame: float) -> "Figure":
    """Draw the mean surprise by how much of the utterance went before.

    Args:
        surprise: the figures.
        frame: length of a frame (s).
    """
    figure = blank(9.0, 2.7)
    ax = figure.subplots()
    for k, (row, mean) in enumerate(zip(surprise.by_position, surprise.row_means, strict=True)):
        middles = [frame * (1.5 * 2**p - 1) for p in range(len(row))]  # of frames 2^p - 1 on
        name = f"codebook {k + 1}: " if len(surprise.row_means) > 1 else ""
        ax.plot(middles, row, marker="o", markersize=4, label=f"{name}mean {mean:.2f} bits")
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    ticks = [t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60) if low < t < high]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.set_ylim(bottom=0)
    ax.set_xlabel("time from the beginning (s)")
    ax.set_ylabel("bits per code")
    if len(surprise.row_means) <= 8:
        ax.legend(frameon=False)
    quiet(ax)
    return figure


def over_time(surprise: Surprise, frame: float) -> "Figure":
    """Draw the surprise of each example over time, one below the other."""
    figure = blank(9.0, 1.5 * len(surprise.examples) + 0.4)
    axes = np.atleast_1d(figure.subplots(len(surprise.examples), 1, sharex=True))
    image = None
    kinds = ("least surprising", "in the middle", "most surprising")
    for ax, example, kind in zip(axes, surprise.examples, kinds, strict=False):
        image = strip(ax, np.array(example.bits), frame)
        ax.set_title(f"{kind}: {example.mean:.2f} bits per code", loc="left", fontsize=10)
    axes[-1].set_xlabel("time (s)")
    axes[-1].set_xlim(0, frame * max(len(e.bits[0]) for e in surprise.examples))
    if image is not None:
        figure.colorbar(image, ax=list(axes), label="bits", pad=0.01)
    return figure


def over_spectrogram(
    x: Float[Tensor, "1 1 L"],
    sample_rate: int,
    bits: Float[np.ndarray, "K T"],
    frame: float,
    prompt: int = 0,
) -> "Figure":
    """Draw the surprise of codes over the spectrogram of their sound, time by time.

    Args:
        x: the sound.
        sample_rate: Hz.
        bits: surprise of each code.
        frame: length of a frame (s): code t stands for [t * frame, (t + 1) * frame).
        prompt: frames at the beginning that were given.
    """
    seconds = x.shape[-1] / sample_rate
    figure = blank(9.0 if seconds > LONG else 4.9, 3.0)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.0, 1.5))
    image = strip(above, bits, frame)
    if image is not None:  # beside both, which keeps them aligned
        figure.colorbar(image, ax=[above, below], label="bits", pad=0.01)
    level = levels_of(x, sample_rate)
    mel_image(below, level - level.max(), sample_rate)
    below.set_ylabel("kHz")
    below.set_xlabel("time (s)")
    below.set_xlim(0, seconds)
    if prompt:
        above.axvspan(0, prompt * frame, color="tab:green", alpha=0.15, linewidth=0)
        above.text(
            prompt * frame, 0.97, "prompt ", ha="right", va="top", color="tab:green",
            transform=above.get_xaxis_transform(),
        )  # fmt: skip
        for ax in (above, below):
            ax.axvline(prompt * frame, color="tab:green", linewidth=1.5)
    return figure


def strip(ax: "Axes", bits: Float[np.ndarray, "K T"], frame: float) -> "QuadMesh | None":
    """Draw surprise over time: one row as an outline with its mean, several as rows of colour.

    Returns:
        what the colours are of; None for one row.
    """
    rows, frames = bits.shape
    edges = np.arange(frames + 1) * frame
    if rows > 1:
        image = ax.pcolormesh(edges, np.arange(rows + 1), bits, cmap="viridis", vmin=0, vmax=_LEAST)
        ax.set_yticks(np.arange(rows) + 0.5, [str(k + 1) for k in range(rows)])
        ax.set_ylabel("codebook")
        return image
    ax.stairs(bits[0], edges, fill=True, alpha=0.8)
    ax.axhline(float(bits.mean()), color="black", linewidth=0.8, linestyle="--")
    ax.set_ylim(0, max(_LEAST, 1.05 * float(bits.max(initial=0))))
    ax.set_ylabel("bits")
    quiet(ax)
    return None
