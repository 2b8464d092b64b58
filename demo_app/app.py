"""The page: a recording and a model above, six panels below; `python demo_app/app.py` shows it."""

import html
import importlib.util
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

if __package__ in (None, ""):  # run as a program: become a package first
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    __package__ = "demo_app"

import gradio as gr

from audiovq.errors import ConfigError

from . import address, endpoints
from .arguments import Page
from .facts import Facts
from .models import Shelf
from .panels import compare, edit, generate, resynthesise, units, voice
from .panels._common import Desk, Hall, Panel, Updates, answering
from .panels._parts import file
from .settings import Settings
from .work.corpus import Corpus

PANELS: dict[str, ModuleType] = {
    "resynthesise": resynthesise,
    "compare": compare,
    "units": units,
    "edit": edit,
    "voice": voice,
    "generate": generate,
}
EXAMPLES = {
    "LJ001-0011.flac": "Example: 4.5 s",
    "LJ001-0001.flac": "Example: 9.7 s",
}
_NOTHING = (
    "**There are no models here.** Start the demo with `audiovq demo --models DIR`, a folder that "
    "holds models or runs of `audiovq train`."
)


def hall_of(settings: Settings) -> Hall:
    """Return what all visitors share, by the settings.

    Raises:
        ConfigError: a folder of models does not exist.
        CheckpointError: the folder of units cannot be used.
    """
    shelf = Shelf(settings.models, in_memory=settings.models_in_memory, device=settings.device)
    for name, why in shelf.notes.items():  # visitors are not told: whoever starts it can mend it
        sys.stderr.write(f"note: {name} is left out: {why}\n")
    corpus = None if settings.units is None else Corpus(settings.units)
    return Hall(settings, shelf, corpus)


def build(settings: Settings) -> gr.Blocks:
    """Return the page; it is to be launched with `style.looks()`.

    Raises:
        ConfigError: gradio or matplotlib is not installed, or a folder does not exist.
        CheckpointError: the folder of units cannot be used.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError('the demo draws with matplotlib: pip install "audiovq[demo]"')
    return page(hall_of(settings))


def page(hall: Hall) -> gr.Blocks:
    """Return the page of a hall."""
    blocks = Page(title="audiovq", analytics_enabled=False)
    with blocks:
        gr.Markdown(
            "# audiovq\nDiscrete codes from speech: hear, see and use them.", elem_id="title"
        )
        desk, facts = _desk(hall)
        with gr.Tabs(elem_id="panels", overflow_behavior="wrap") as tabs:
            panels = []
            for name, module in PANELS.items():
                with gr.Tab(name.capitalize(), id=name, elem_id=f"tab-{name}"):
                    panels.append(module.build(hall, desk))
        _connect(blocks, hall, desk, facts, tabs, panels)
        endpoints.add(hall)
    return blocks


def _desk(hall: Hall) -> tuple[Desk, gr.HTML]:
    names = hall.shelf.names()
    if not names:
        gr.Markdown(_NOTHING, elem_classes="missing", elem_id="no-models")
    most = hall.settings.max_seconds
    with gr.Row():
        with gr.Column(scale=3, min_width=320):
            recording = gr.Audio(
                label="Your recording",
                type="filepath",
                sources=["upload", "microphone"],
                buttons=["download"],
                elem_id="recording",
            )
            with gr.Row():
                for filename, words in EXAMPLES.items():
                    gr.Button(words, size="sm", elem_id=f"example-{filename.split('.')[0]}").click(
                        partial(_example, filename), None, recording, api_visibility="private"
                    )
            gr.Markdown(
                f"Speech of at most {most:g} s: WAV, FLAC, OGG or MP3. It stays on this server "
                f"for some minutes and is then deleted.",
                elem_classes="note",
            )
        with gr.Column(scale=2, min_width=320):
            model = gr.Dropdown(
                names,
                value=first(hall),
                label="Model",
                info="What turns the recording into codes and back, in every panel.",
                elem_id="model",
            )
            facts = gr.HTML(_facts(hall, model.value), elem_id="facts")
    return Desk(recording, model), facts


def first(hall: Hall, panel: str = "resynthesise") -> str | None:
    """Return the model to begin with: one that shows what a panel is for, if there is any."""

    def has_units(facts: Facts) -> bool:
        return facts.num_codebooks == 1 and not facts.speakers

    wanted: dict[str, Callable[[Facts], bool]] = {
        "units": has_units,
        "edit": has_units,
        "voice": lambda facts: bool(facts.speakers),
        "generate": lambda facts: bool(hall.shelf.priors(facts.name)),
    }
    if panel not in wanted:  # one whose codebooks can be chosen, a residual model, shows most
        wanted[panel] = lambda facts: len(facts.prefixes) > 1
    fits = wanted[panel]
    order = sorted(hall.shelf.models(), key=lambda f: (not fits(f), not f.is_discrete))
    return order[0].name if order else None


def _example(filename: str) -> str:
    return file((Path(__file__).parent / "examples" / filename).read_bytes(), filename)


def _connect(
    blocks: gr.Blocks, hall: Hall, desk: Desk, facts: gr.HTML, tabs: gr.Tabs, panels: list[Panel]
) -> None:
    depends = [component for panel in panels for component in panel.depends]

    def changed(name: str | None) -> Updates:
        with answering():
            return [_facts(hall, name), *(u for p in panels for u in p.on_model(name))]

    def opened(request: gr.Request) -> Updates:
        with answering():
            wanted = dict(request.query_params)
            if not wanted.get("model") and wanted.get("panel") in PANELS:
                wanted["model"] = first(hall, wanted["panel"]) or ""
            return address.chosen(wanted, hall.shelf.names(), PANELS)

    follow: dict[str, Any] = {
        "fn": changed,
        "inputs": desk.model,
        "outputs": [facts, *depends],
        "api_visibility": "private",
        "show_progress": "hidden",
    }
    desk.model.change(**follow)
    desk.model.input(None, desk.model, js=address.REMEMBER_MODEL, api_visibility="private")
    blocks.load(None, js=address.follow(PANELS), api_visibility="private")
    arrived = blocks.load(
        opened, None, [desk.model, tabs], api_visibility="private", show_progress="hidden"
    )
    arrived.then(**follow)


def _facts(hall: Hall, name: str | None) -> str:
    """Return HTML of what a model is."""
    if not name:
        return ""
    facts = hall.shelf.facts(name)
    sizes = facts.codebook_sizes
    codes = (
        f"{len(sizes)} codebook{'s' * (len(sizes) > 1)} of "
        f"{', '.join(map(str, sorted(set(sizes))))}"
        if sizes
        else "continuous, no codes"
    )
    rate = "" if facts.bitrate is None else f"{facts.bitrate:,.0f} bit/s at most"
    lines = [
        f"Bottleneck {facts.bottleneck}: {codes}",
        f"{facts.frame_rate:g} frames per second (Hz), {facts.hop_length} samples each",
        f"sound at {facts.sample_rate / 1000:g} kHz",
        rate,
    ]
    return "".join(f'<p class="note">{html.escape(line)}</p>' for line in lines if line)


def main() -> None:
    """Show the page on this machine, with the settings' defaults."""
    from .serve import serve  # noqa: PLC0415

    serve(Settings())


if __name__ == "__main__":
    main()
