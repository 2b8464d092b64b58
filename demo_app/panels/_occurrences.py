"""One unit of a recording: where it occurs, to see and to hear, here and in a corpus."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from audiovq.errors import ConfigError

from .. import pictures
from ..work import units as work
from ._common import Hall, Updates
from ._parts import clips, show

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class View:
    """The units that a visitor sees, and where on their picture which time is.

    Attributes:
        found: the units.
        start: time (s) at the axis' left end.
        end: time (s) at its right end.
        left: the axis' left end (pixels of the picture).
        right: its right end.
    """

    found: work.Found
    start: float
    end: float
    left: float
    right: float

    def unit_at(self, pixel: float) -> work.Unit:
        """Return the unit under a pixel; beside the axis, the one nearest to it."""
        share = (pixel - self.left) / (self.right - self.left)
        return self.found.at(self.start + min(max(share, 0.0), 1.0) * (self.end - self.start))


def drawn(
    found: work.Found, codes: Sequence[int] | None = None, window: tuple[float, float] | None = None
) -> tuple[View, Any]:
    """Return the view of units, and the update that shows their picture.

    Args:
        found: the units.
        codes: of the unit to mark.
        window: first and last time to show (s); None: all.
    """
    figure = pictures.units(found, codes, window=window)
    update = show(figure, "units")  # drawing is what puts the axes in their places
    return _view(found, figure), update


def _view(found: work.Found, figure: "Figure") -> View:
    ax = figure.axes[0]
    place, width = ax.get_position(), figure.get_figwidth() * figure.dpi
    start, end = ax.get_xlim()
    return View(found, start, end, place.x0 * width, place.x1 * width)


def chosen(hall: Hall, view: View | None, place: Sequence[Any], zoom: float) -> Updates:
    """Return view, picture and sounds of the unit that was clicked.

    Args:
        hall: of the server.
        view: what the visitor sees.
        place: a row of the table, or (x, y) on the picture (pixels).
        zoom: seconds to show around the unit; 0: the whole recording.

    Raises:
        ConfigError: the units are forgotten by now.
    """
    if view is None:
        raise ConfigError("these units are forgotten by now: find them again")
    found = view.found
    on_picture = len(place) == 2
    unit = view.unit_at(float(place[0])) if on_picture else found.units[int(place[0])]
    here = work.occurrences(found, unit.codes)
    sounds = work.clips(found, unit.codes)
    heard = [
        f"<h4>Unit {unit.label}: {len(here)} times in this recording{_of(sounds, len(here))}</h4>",
        clips(sounds),
        _in_corpus(hall, found, unit),
    ]
    new, picture = drawn(found, unit.codes, _window(found, unit, zoom))
    return [new, picture, "".join(heard)]


def _window(found: work.Found, unit: work.Unit, zoom: float) -> tuple[float, float] | None:
    seconds = found.recording.seconds
    if not 0 < zoom < seconds:
        return None
    start = min(max(0.0, (unit.start + unit.end - zoom) / 2), seconds - zoom)
    return start, start + zoom


def _in_corpus(hall: Hall, found: work.Found, unit: work.Unit) -> str:
    corpus = hall.corpus
    if corpus is None:
        return (
            '<p class="note">To hear it in a whole corpus, too, start the demo with '
            "<code>--units DIR</code>, a folder made by <code>audiovq extract</code>.</p>"
        )
    name = html.escape(corpus.name)
    if why := corpus.why_not(found):
        return f'<p class="note">Not looked up in {name}: {html.escape(why)}</p>'
    count = corpus.count(unit.codes, found.codebooks)
    sounds = corpus.clips(unit.codes, found.codebooks)
    head = f"<h4>{count:,} times in {name}{_of(sounds, count)}</h4>"
    if corpus.note:
        return f'{head}<p class="note">{html.escape(corpus.note)}</p>'
    return head + clips(sounds)


def _of(sounds: Sequence[work.Clip], count: int) -> str:
    """Return in words how many of the places can be heard, where not all of them."""
    return f"; {len(sounds)} of them to hear" if 0 < len(sounds) < count else ""
