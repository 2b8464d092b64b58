"""What the panels share: the hall of all visitors, the desk above all panels, friendly errors."""

import html
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from audiovq.errors import AudioError, ConfigError

from .. import guard
from ..facts import Facts
from ..models import Shelf
from ..settings import Settings
from ..sound import Recording
from ..work.corpus import Corpus

Updates = list[Any]
Number = Any  # what a control for numbers sends: int or float, and None where it was emptied
Name = Any  # what a caller sends for a name: text, as a rule
STATE_SECONDS = 1800  # what a visitor made is forgotten after that long without a change
PROGRESS = gr.Progress()  # the default that gradio looks for; it holds nothing of a visitor


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

    def facts(self, name: Name) -> Facts:
        """Return what a model is.

        Raises:
            ConfigError: none is chosen, or there is none of that name.
        """
        if not name:
            raise ConfigError("no model is chosen: choose one at the top of the page")
        if not isinstance(name, str):
            raise ConfigError(f"a model is chosen by its name, not by {str(name)[:40]}")
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

    depends: Sequence[Any] = ()
    on_model: Callable[[str | None], Updates] = field(default=lambda _: [])


@contextmanager
def answering() -> Iterator[None]:
    """Turn every error into one friendly line; what is our own mistake is logged and not told."""
    try:
        yield
    except gr.Error:
        raise
    except Exception as error:  # noqa: BLE001  (the boundary: nothing else may be told)
        raise refusal(error) from None


@contextmanager
def telling() -> Iterator[None]:
    """As `answering`, on the page: the line is shown, and nothing that is there changes.

    An error would be marked on every result until the same button works, whatever else changes.
    """
    try:
        with answering():
            yield
    except gr.Error as error:
        gr.Warning(error.message, title=error.title)


def refusal(error: Exception) -> gr.Error:
    """Return what a visitor is shown instead of an error."""
    line = html.escape(guard.friendly(error), quote=False)
    return gr.Error(line, title="That did not work", print_exception=False)
