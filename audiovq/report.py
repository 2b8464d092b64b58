"""The one maker of pages and pictures: self-contained HTML, opened by any browser, offline."""

import base64
import html
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import soundfile
from jaxtyping import Float
from torch import Tensor

from audiovq.eval.result import Report
from audiovq.eval.values import METRICS
from audiovq.figures import bars, can_draw, code_shares, curves, from_log, png, spectrograms
from audiovq.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Page", "bars", "can_draw", "code_shares", "curves", "from_log", "png", "spectrograms"]

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #5b6570; --line: #dfe3e8;
        --page: #fbfbfa; --card: #ffffff; --accent: #2563a8; --best: #e6f1e8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #9aa4ae; --line: #343b43;
        --page: #14171a; --card: #1c2024; --accent: #7ab3ef; --best: #1f3526; } }
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; color: var(--ink);
       background: var(--page); max-width: 62rem; margin: 3rem auto 5rem; padding: 0 1.25rem; }
h1 { font-size: 1.9rem; line-height: 1.2; letter-spacing: -.01em; margin: 0 0 .3rem; }
h2 { font-size: 1.25rem; margin: 3rem 0 .8rem; padding-top: 1.2rem;
     border-top: 1px solid var(--line); }
p { max-width: 44rem; } p.note, summary { color: var(--soft); font-size: .95rem; }
code { background: var(--card); padding: .1em .35em; border-radius: 4px; }
pre { background: var(--card); border: 1px solid var(--line); padding: .8rem 1rem;
      overflow-x: auto; border-radius: 8px; } pre code { padding: 0; }
.wide { overflow-x: auto; margin: 1rem 0; background: var(--card); border-radius: 8px;
        border: 1px solid var(--line); padding: .3rem 1rem .5rem; width: fit-content;
        max-width: 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem 0 .4rem 1.8rem; text-align: right; white-space: nowrap;
         vertical-align: baseline; }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal; }
td:first-child { min-width: 11rem; }
th { color: var(--soft); font-weight: 600; font-size: .9rem; white-space: normal;
     vertical-align: bottom; }
tr + tr > td { border-top: 1px solid var(--line); }
td small { display: block; color: var(--soft); font-size: .8rem; font-weight: 400; }
td.best { font-weight: 650; color: var(--accent); }
figure { margin: 1.2rem 0; } figcaption { color: var(--soft); font-size: .9rem; margin-top: .4rem; }
img { display: block; max-width: 100%; background: #fff; border-radius: 8px;
      border: 1px solid var(--line); padding: .5rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem;
      margin: 1rem 0; }
.cards.of2 { grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr)); }
.cards.of1 { grid-template-columns: 1fr; }
.cards > div { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
      padding: .8rem 1rem; font-size: .9rem; }
.cards h3 { font-size: 1rem; margin: 0 0 .2rem; } .cards p { margin: 0 0 .5rem; }
.cards img { border: 0; padding: 0; margin-bottom: .4rem; }
.cards audio { width: 100%; height: 2.2rem; } .cards span { color: var(--soft); }
.sounds { display: flex; flex-wrap: wrap; gap: 1rem 1.6rem; margin: 1rem 0; }
.sounds div { font-size: .9rem; color: var(--soft); } audio { display: block; width: 18rem;
      max-width: 100%; margin-top: .2rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.2rem; font-size: .9rem; }
dt { font-weight: 600; } dd { margin: 0; color: var(--soft); }
@media (max-width: 40rem) { dl { display: block; } dd { margin-bottom: .5rem; } }
"""
_BEST = ' class="best"'


@dataclass(frozen=True)
class Card:
    """A picture with words and sounds, one of many side by side.

    Attributes:
        title: heading.
        text: a line below it.
        alt: what the picture shows, for those who cannot see it.
        figure: the picture; None: there is none.
        sounds: players, by label.
    """

    title: str
    text: str
    alt: str
    figure: "Figure | None"
    sounds: Mapping[str, Float[Tensor, "1 1 _"]]


# Nothing is fetched from anywhere, whatever text or names get into a page.
_POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"


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

    def facts(self, facts: Mapping[str, str]) -> None:
        """Add a list of names and what they are."""
        entries = "".join(
            f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in facts.items()
        )
        self._parts.append(f"<dl>{entries}</dl>")

    def code(self, text: str) -> None:
        """Add lines to copy."""
        self._parts.append(f"<pre><code>{html.escape(text)}</code></pre>")

    def table(
        self,
        header: Sequence[str],
        rows: Sequence[Sequence[Any]],
        caption: str = "",
        best: Collection[tuple[int, int]] = (),
    ) -> None:
        """Add a table; the first column is text, the others are aligned as figures.

        Args:
            header: of the columns.
            rows: cells; what follows a line break in one is shown small below it.
            caption: a sentence below.
            best: row and column of the cells to mark.
        """
        head = "".join(f"<th>{html.escape(h)}</th>" for h in header)
        body = "".join(
            "<tr>"
            + "".join(
                f"<td{_BEST if (i, j) in best else ''}>{_cell(str(c))}</td>"
                for j, c in enumerate(row)
            )
            + "</tr>"
            for i, row in enumerate(rows)
        )
        self._parts.append(f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>')
        if caption:
            self.text(caption, note=True)

    def evaluations(self, reports: Mapping[str, Report]) -> None:
        """Add the figures of several evaluations side by side, with intervals and definitions.

        The best of each row is marked where better has a direction and there is a choice.

        Args:
            reports: by the name of the model.
        """
        names = [n for n in METRICS if any(n in r for r in reports.values())]
        rows = "".join(_evaluation_row(n, list(reports.values())) for n in names)
        head = "".join(f"<th>{html.escape(label)}</th>" for label in reports)
        self._parts.append(f'<div class="wide"><table><tr><th></th>{head}</tr>{rows}</table></div>')
        self.text("Below each figure: its 95 % interval.", note=True)
        words = "".join(
            f"<dt>{html.escape(METRICS[n].label)}</dt><dd>{html.escape(METRICS[n].definition)}.</dd>"
            for n in names
        )
        notes = "".join(
            f"<dt>{html.escape(label)}</dt><dd>{html.escape(note)}.</dd>"
            for label, report in reports.items()
            for note in (report.title(), *report.notes)
        )
        self._parts.append(
            f"<details><summary>What the figures mean</summary><dl>{words}</dl></details>"
            f"<details><summary>What was evaluated</summary><dl>{notes}</dl></details>"
        )

    def figure(self, figure: "Figure", caption: str) -> None:
        """Add a picture with a caption that also serves those who cannot see it."""
        self._parts.append(
            f"<figure>{_picture(figure, caption)}"
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        )

    def sounds(self, sounds: Mapping[str, Float[Tensor, "1 1 L"]], sample_rate: int) -> None:
        """Add players, side by side, each with its label."""
        players = [
            f"<div>{html.escape(label)}{_player(x, sample_rate)}</div>"
            for label, x in sounds.items()
        ]
        self._parts.append(f'<div class="sounds">{"".join(players)}</div>')

    def cards(self, cards: Sequence[Card], sample_rate: int, *, columns: int = 3) -> None:
        """Add cards in so many columns (1 to 3) or, on a narrow screen, in as many as fit."""
        made = []
        for card in cards:
            players = "".join(
                f"<div><span>{html.escape(label)}</span>{_player(x, sample_rate)}</div>"
                for label, x in card.sounds.items()
            )
            made.append(
                f"<div><h3>{html.escape(card.title)}</h3><p>{html.escape(card.text)}</p>"
                f"{'' if card.figure is None else _picture(card.figure, card.alt)}{players}</div>"
            )
        self._parts.append(f'<div class="cards of{columns}">{"".join(made)}</div>')

    def write(self, path: Path) -> None:
        """Write the page in one step."""
        body = "\n".join(self._parts)
        atomic_write(
            path,
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
            f"<title>{html.escape(self.title)}</title><style>{_STYLE}</style></head>\n"
            f"<body>\n{body}\n</body></html>\n",
        )


def _cell(text: str) -> str:
    first, *rest = text.split("\n")
    return html.escape(first) + "".join(f"<small>{html.escape(line)}</small>" for line in rest)


def _picture(figure: "Figure", alt: str) -> str:
    data = base64.b64encode(png(figure)).decode()
    return f'<img alt="{html.escape(alt, quote=True)}" src="data:image/png;base64,{data}">'


def _player(x: Float[Tensor, "1 1 _"], sample_rate: int) -> str:
    buffer = io.BytesIO()
    samples = x.reshape(-1).clamp(-1, 1).numpy()
    soundfile.write(buffer, samples, sample_rate, format="FLAC", subtype="PCM_16")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<audio controls src="data:audio/flac;base64,{data}"></audio>'


def _evaluation_row(name: str, reports: Sequence[Report]) -> str:
    """Return a table row: a figure of each report, "-" where it has none."""
    metric = METRICS[name]
    values = [r[name] for r in reports if name in r and not r.is_anchor]
    best = None
    if metric.better and len(set(values)) > 1:
        best = max(values) if metric.better == "higher" else min(values)
    arrow = {"higher": " \u2191", "lower": " \u2193", "": ""}[metric.better]
    unit = f" ({metric.unit})" if metric.unit else ""
    cells = [f"<td>{html.escape(metric.label + unit)}{arrow}</td>"]
    for report in reports:
        if name not in report:
            cells.append("<td>\u2013</td>")
            continue
        value = report.value(name)
        mark = ' class="best"' if value.value == best else ""
        cells.append(f"<td{mark}>{value.text()}<small>{value.interval_text()}</small></td>")
    return f"<tr>{''.join(cells)}</tr>"
