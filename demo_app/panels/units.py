"""Units: the deduplicated codes of a recording with their times; click one to hear the others."""

import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, no_type_check

import gradio as gr

from audiovq.errors import ConfigError

from ..work import units as work
from ._common import PROGRESS, STATE_SECONDS, Desk, Hall, Number, Panel, Updates, telling
from ._occurrences import View, chosen, drawn
from ._parts import figures, file, image, run_and_cancel

ABOUT = (
    "Runs of equal codes are units: something like the letters of the model's own alphabet of "
    "sounds. Click a row of the table, or the picture, to hear where else the same unit occurs."
)
_KINDS = (".jsonl", ".km", ".csv")
_DISCRETE = (
    "This model is continuous: it has no codes and so no units. Choose a model with codebooks "
    "at the top of the page."
)


def build(hall: Hall, desk: Desk) -> Panel:
    """Put the panel on the page."""
    gr.Markdown(ABOUT, elem_classes="note")
    missing = gr.Markdown(
        _DISCRETE, elem_classes="missing", visible=_is_missing(hall, desk.model.value)
    )
    codebooks = gr.CheckboxGroup(
        label="Codebooks",
        info="A unit is a run in which the codes of all these codebooks stay the same.",
        elem_id="units-codebooks",
        **_choices(hall, desk.model.value),
    )
    zoom = gr.Slider(
        0.0, 5.0, 0.0, step=0.25, label="Zoom (s)", elem_id="units-zoom",
        info="How much to show around a unit that you click; 0: the whole recording.",
    )  # fmt: skip
    run, stop = run_and_cancel("Find the units", "units")
    outputs = _results()
    state, picture, table, heard, shown = outputs[:5]

    @no_type_check  # which would hide from gradio that it is a generator
    def go(
        path: str | None, name: str | None, rows: Sequence[str], progress: Any = PROGRESS
    ) -> Iterator[Updates]:
        with telling():
            yield from _run(hall, path, name, rows, progress)

    def click(view: View | None, zoom: Number, event: gr.SelectData) -> Updates:
        with telling():
            return chosen(hall, view, event.row_value or event.index, float(zoom or 0))
        return [gr.skip()] * 3

    running = run.click(
        go, [desk.recording, desk.model, codebooks], outputs,
        show_progress_on=[shown], api_visibility="private",
    )  # fmt: skip
    stop.click(None, cancels=[running], api_visibility="private")
    for place in (table, picture):
        place.select(click, [state, zoom], [state, picture, heard], api_visibility="private")
    return Panel(
        [missing, codebooks],
        lambda name: [
            gr.update(visible=_is_missing(hall, name)),
            gr.update(**_choices(hall, name)),
        ],
    )


def _results() -> list[Any]:
    state = gr.State(None, time_to_live=STATE_SECONDS)
    picture = image("Units over the spectrogram (dB): click one", "units-picture")
    table = gr.Dataframe(
        label="Units: click a row to hear where else the unit occurs",
        interactive=False,
        type="array",
        max_height=360,
        visible=False,
        elem_id="units-table",
        elem_classes="scrolls",
    )
    heard = gr.HTML(elem_id="units-clips")
    shown = gr.HTML(elem_id="units-figures")
    with gr.Row():
        downloads = [
            gr.DownloadButton(f"Download {kind}", interactive=False, elem_id=f"units-{kind[1:]}")
            for kind in _KINDS
        ]
    return [state, picture, table, heard, shown, *downloads]


def _is_missing(hall: Hall, name: str | None) -> bool:
    return name is not None and not hall.shelf.facts(name).is_discrete


def _choices(hall: Hall, name: str | None) -> dict[str, Any]:
    """Return the choice of codebooks, hidden where there is only one."""
    names = list(hall.shelf.facts(name).layout) if name else []
    return {"choices": names, "value": names[:1], "visible": len(names) > 1}


def _run(
    hall: Hall, path: str | None, name: str | None, names: Sequence[str], progress: Any
) -> Iterator[Updates]:
    progress(0.0, desc="Reading the recording")
    facts, recording = hall.facts(name), hall.read(path)
    if not facts.is_discrete:
        raise ConfigError(_DISCRETE)
    if not set(names) & set(facts.layout):
        raise ConfigError("no codebook is ticked: a unit needs at least one")
    yield [gr.skip()] * 8
    progress(0.3, desc="Encoding")
    rows = [facts.layout.index(row) for row in names]
    found = work.units(hall.shelf.model(facts.name), recording, rows)
    progress(0.7, desc="Drawing")
    table = gr.update(value=found.rows(), headers=found.header(), visible=True)
    yield [
        *drawn(found), table, "",
        figures(figures_of(found)), *_downloads(found),
    ]  # fmt: skip


def figures_of(found: work.Found) -> list[tuple[str, str, str]]:
    """Return the figures of a recording's units: name, value with its unit, what it means."""
    distinct = len({u.codes for u in found.units})
    possible = math.prod(found.codebook_sizes[k] for k in found.codebooks)
    frames = found.codes.shape[-1]
    return [
        ("Units", f"{len(found.units)}", f"from {frames} frames"),
        ("Different ones", f"{distinct}", f"of {possible:,} that there could be"),
        ("Rate", f"{found.rate:.1f} units/s", "after runs of equal codes were joined"),
    ]


def files_of(found: work.Found) -> list[str]:
    """Return the units as JSONL, .km and CSV files for the browser."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {p.suffix: p for p in work.export(found, Path(folder))}
        return [file(paths[kind].read_bytes(), paths[kind].name) for kind in _KINDS]


def _downloads(found: work.Found) -> Updates:
    return [gr.update(value=path, interactive=True) for path in files_of(found)]
