"""The one maker of pages and pictures: self-contained HTML, opened by any browser, offline."""

import base64
import html
import importlib.util
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
import torch
from jaxtyping import Float
from torch import Tensor

from audiovq.errors import ConfigError
from audiovq.files import atomic_write
from audiovq.losses.spectral import MelFilters, Spectrogram

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #5b6570; --line: #d9dee3;
        --page: #ffffff; --card: #f6f8fa; --accent: #2563a8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #9aa4ae; --line: #343b43;
        --page: #15181c; --card: #1d2126; --accent: #7ab3ef; } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--page);
       max-width: 62rem; margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin-top: 2.4rem; }
p.note { color: var(--soft); } code { background: var(--card); padding: .1em .35em; }
pre { background: var(--card); padding: .8rem 1rem; overflow-x: auto; border-radius: 6px; }
pre code { padding: 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .8rem 0; }
th, td { padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; } th { color: var(--soft); font-weight: 600; }
figure { margin: 1rem 0; } figcaption { color: var(--soft); font-size: .9rem; }
img { max-width: 100%; background: #fff; border-radius: 6px; }
.sounds { display: flex; flex-wrap: wrap; gap: 1rem 1.6rem; }
.sounds div { font-size: .9rem; color: var(--soft); } audio { display: block; width: 18rem; }
"""


class Page:
    """A page built from top to bottom.

    Args:
        title: heading and window title.
        subtitle: a sentence below it.
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self._parts = [f"<h1>{html.escape(title)}</h1>"]
        if subtitle:
            self.text(subtitle, note=True)

    def heading(self, text: str) -> None:
        """Add a section heading."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str, *, note: bool = False) -> None:
        """Add a paragraph."""
        kind = ' class="note"' if note else ""
        self._parts.append(f"<p{kind}>{html.escape(text)}</p>")

    def code(self, text: str) -> None:
        """Add lines to copy."""
        self._parts.append(f"<pre><code>{html.escape(text)}</code></pre>")

    def table(
        self, header: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = ""
    ) -> None:
        """Add a table; the first column is text, the others are aligned as figures."""
        head = "".join(f"<th>{html.escape(h)}</th>" for h in header)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(str(c))}</td>" for c in row) + "</tr>"
            for row in rows
        )
        self._parts.append(f"<table><tr>{head}</tr>{body}</table>")
        if caption:
            self.text(caption, note=True)

    def figure(self, figure: "Figure", caption: str) -> None:
        """Add a picture with a caption that also serves those who cannot see it."""
        data = base64.b64encode(png(figure)).decode()
        alt = html.escape(caption, quote=True)
        self._parts.append(
            f'<figure><img alt="{alt}" src="data:image/png;base64,{data}">'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        )

    def sounds(self, sounds: Mapping[str, Float[Tensor, "1 1 L"]], sample_rate: int) -> None:
        """Add players, side by side, each with its label."""
        players = []
        for label, x in sounds.items():
            buffer = io.BytesIO()
            samples = x.reshape(-1).clamp(-1, 1).numpy()
            soundfile.write(buffer, samples, sample_rate, format="WAV", subtype="PCM_16")
            data = base64.b64encode(buffer.getvalue()).decode()
            players.append(
                f"<div>{html.escape(label)}"
                f'<audio controls src="data:audio/wav;base64,{data}"></audio></div>'
            )
        self._parts.append(f'<div class="sounds">{"".join(players)}</div>')

    def write(self, path: Path) -> None:
        """Write the page in one step."""
        body = "\n".join(self._parts)
        atomic_write(
            path,
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(self.title)}</title><style>{_STYLE}</style></head>\n"
            f"<body>\n{body}\n</body></html>\n",
        )


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def _figure(width: float, height: float) -> "Figure":
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
    figure = _figure(9.0, 1.9 * len(sounds) + 0.5)
    axes = np.atleast_1d(figure.subplots(len(sounds), 1, sharex=True))
    spectrogram = Spectrogram(1024)
    filters = MelFilters(sample_rate, 1024, 80)
    levels = {}
    for label, x in sounds.items():
        magnitude = filters(spectrogram(x[..., : int(seconds * sample_rate)]))
        levels[label] = 20 * torch.log10(magnitude[0].clamp_min(1e-6))
    top = max(float(level.max()) for level in levels.values())
    image = None
    for ax, (label, level) in zip(axes, levels.items(), strict=True):
        end = level.shape[1] * spectrogram.hop_length / sample_rate
        image = ax.imshow(
            (level - top).numpy(),
            origin="lower",
            aspect="auto",
            cmap="magma",
            vmin=-80,
            vmax=0,
            extent=(0, end, 0, 80),
            interpolation="nearest",
        )
        ax.set_ylabel("mel band")
        ax.set_title(label, loc="left", fontsize=10)
    axes[-1].set_xlabel("time (s)")
    assert image is not None
    figure.colorbar(image, ax=list(axes), label="level (dB)", pad=0.01)
    return figure


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    ylabel: str,
    *,
    log_scale: bool = False,
    bottom: float | None = None,
) -> "Figure":
    """Draw values over steps, one line per label."""
    figure = _figure(9.0, 2.8)
    ax = figure.subplots()
    for label, (steps, values) in series.items():
        ax.plot(steps, values, label=label, linewidth=1.6, marker="." if len(steps) < 30 else None)
    ax.set_xlabel("step")
    ax.set_ylabel(ylabel)
    if log_scale:
        ax.set_yscale("log")
    if bottom is not None:
        ax.set_ylim(bottom=bottom)
    ax.grid(alpha=0.25)
    ax.legend(frameon=False)
    return figure


def from_log(entries: Sequence[Mapping[str, Any]], key: str) -> tuple[list[float], list[float]]:
    """Return steps and values of one key of a run's log."""
    found = [(e["step"], e[key]) for e in entries if key in e]
    return [float(s) for s, _ in found], [float(v) for _, v in found]
