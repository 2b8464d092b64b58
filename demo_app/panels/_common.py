"""What the panels share: the hall, the desk, errors in one line, files to hear and download."""

import base64
import html
import io
import logging
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr
from gradio import processing_utils

from audiovq.errors import AudioError, AudioVQError, ConfigError

from .. import guard, pictures
from ..models import Facts, Shelf
from ..settings import Settings
from ..sound import Recording
from ..work.corpus import Corpus
from ..work.units import Clip

Updates = list[Any]
_LOG = logging.getLogger(__name__)
STATE_SECONDS = 1800  # what a visitor made is forgotten after that long without a change


@dataclass(frozen=True)
class Hall:
    """What all visitors share; none of it changes with what they do, but for models in memory.

    Attributes:
        settings: of the server.
        shelf: the models.
        corpus: units of a whole corpus, where the server was given some.
    """

    settings: Settings
    shelf: Shelf
    corpus: Corpus | None = None

    def facts(self, name: str | None) -> Facts:
        """Return what a model is.

        Raises:
            ConfigError: none is chosen, or there is none of that name.
        """
        if not name:
            raise ConfigError("no model is chosen: choose one at the top of the page")
        return self.shelf.facts(name)

    def read(self, path: str | None) -> Recording:
        """Return an upload as sound.

        Raises:
            AudioError: there is none, or it is refused.
        """
        if not path:
            raise AudioError(
                "there is no recording yet: upload one, record one or take an example, "
                "at the top of the page"
            )
        return guard.read(path, self.settings)


@dataclass(frozen=True)
class Desk:
    """What stands above all panels: the recording and the model that they work on."""

    recording: gr.Audio
    model: gr.Dropdown


@dataclass(frozen=True)
class Panel:
    """A panel that is on the page.

    Attributes:
        depends: components that change with the model.
        on_model: gives their updates, by the model's name.
    """

    depends: Sequence[Any] = field(default_factory=tuple)
    on_model: Callable[[str | None], Updates] = field(default=lambda _: [])


@contextmanager
def answering() -> Iterator[None]:
    """Turn every error into one friendly line; what is our own mistake is logged and not told."""
    try:
        yield
    except gr.Error:
        raise
    except AudioVQError as error:
        raise refusal(error) from None
    except Exception as error:
        _LOG.exception("a panel failed")
        raise refusal(error) from None


def refusal(error: Exception) -> gr.Error:
    """Return what a visitor is shown instead of an error."""
    return gr.Error(
        html.escape(guard.friendly(error)), title="That did not work", print_exception=False
    )


def file(data: bytes, name: str) -> str:
    """Put bytes where the browser can fetch them; returns the path for a component."""
    return processing_utils.save_bytes_to_cache(data, name, gr.utils.get_upload_folder())


def wav(recording: Recording, what: str = "") -> str:
    """Return a WAV file of a recording for a player; `what` goes into its name."""
    return file(recording.wav(), f"{plain(recording.name)}{'-' if what else ''}{plain(what)}.wav")


def plain(text: str) -> str:
    """Return a text as part of a file name: letters, digits and dashes."""
    return re.sub(r"[^\w.]+", "-", text).strip("-.")[:60]


def picture(figure: Any, name: str) -> str:
    """Return a PNG file of a figure for a picture component."""
    return file(pictures.png(figure), f"{name}.png")


def figures(items: Sequence[tuple[str, str, str]]) -> str:
    """Return HTML of figures: name, value with its unit, and what it means."""
    cells = [
        f"<div><span>{html.escape(name)}</span><b>{html.escape(value)}</b>"
        f"<span>{html.escape(about)}</span></div>"
        for name, value, about in items
    ]
    return f'<div class="figures">{"".join(cells)}</div>'


def clips(found: Sequence[Clip]) -> str:
    """Return HTML of short clips to play; their sound is inside, so nothing is left behind."""
    cells = [
        f'<figure><audio controls preload="metadata" src="data:audio/wav;base64,'
        f'{base64.b64encode(c.recording.wav()).decode()}"></audio>'
        f"<figcaption>{html.escape(c.where)}</figcaption></figure>"
        for c in found
    ]
    return f'<div class="clips">{"".join(cells)}</div>'
