"""Parts that several panels are made of: players, pictures, figures, files to download."""

import base64
import html
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio import processing_utils

from .. import pictures
from ..sound import Recording
from ..work.units import Clip

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def player(label: str, elem_id: str, **more: Any) -> gr.Audio:
    """Return a player of results, with a button to download; on a phone one fills a row."""
    return gr.Audio(
        label=label,
        min_width=280,
        type="filepath",
        interactive=False,
        buttons=["download"],
        elem_id=elem_id,
        **more,
    )


def image(label: str, elem_id: str) -> gr.Image:
    """Return a place for a picture; it takes room once there is one (`show`)."""
    return gr.Image(
        label=label,
        alt_text=label,
        type="filepath",
        interactive=False,
        buttons=["download", "fullscreen"],
        elem_id=elem_id,
        elem_classes="picture",
        visible=False,
    )


def show(figure: "Figure", name: str) -> Any:
    """Return the update that shows a figure as a PNG."""
    return gr.update(value=picture(figure, name), visible=True)


def run_and_cancel(
    label: str, elem_id: str, *, interactive: bool = True
) -> tuple[gr.Button, gr.Button]:
    """Return the two buttons of long work, the first of which can be pressed or not yet."""
    with gr.Row():
        run = gr.Button(
            label, variant="primary", scale=3, interactive=interactive, elem_id=f"{elem_id}-run"
        )
        stop = gr.Button("Cancel", scale=1, elem_id=f"{elem_id}-stop")
    return run, stop


def file(data: bytes, name: str) -> str:
    """Put bytes where the browser can fetch them; returns the path for a component."""
    path: str = processing_utils.save_bytes_to_cache(data, name, gr.utils.get_upload_folder())
    return path


def wav(recording: Recording, what: str = "") -> str:
    """Return a WAV file of a recording for a player; `what` goes into its name."""
    words = [plain(part) for part in (recording.name, what) if part]
    return file(recording.wav(), f"{'-'.join(words)}.wav")


def plain(text: str) -> str:
    """Return a text as part of a file name: letters, digits, dots and dashes."""
    return re.sub(r"[^\w.]+", "-", text).strip("-.")[:60] or "recording"


def picture(figure: "Figure", name: str) -> str:
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
