"""Units: the deduplicated codes of a recording with their times; click one to hear the others."""

import html
import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from audiovq.errors import ConfigError

from .. import pictures
from ..work import units as work
from ._common import PROGRESS, STATE_SECONDS, Desk, Hall, Panel, Updates, answering
from ._parts import clips, figures, file, image, run_and_cancel, show

ABOUT = (
    "Runs of equal codes are units: something like the letters of the model's own alphabet of "
    "sounds. Click a row of the table to hear where else the same unit occurs."
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
        _DISCRETE, elem_classes="missing", visible=not _is_discrete(hall, desk.model.value)
    )
    codebooks = gr.CheckboxGroup(
        label="Codebooks",
        info="A unit is a run in which the codes of all these codebooks stay the same.",
        elem_id="units-codebooks",
        **_choices(hall, desk.model.value),
    )
    run, stop = run_and_cancel("Find the units", "units")
    outputs = _results()
    state, drawn, table, heard = outputs[:4]

    def go(
        path: str | None, name: str | None, chosen: Sequence[str], progress: Any = PROGRESS
    ) -> Iterator[Updates]:
        with answering():
            yield from _run(hall, path, name, chosen, progress)

    def click(found: work.Found | None, event: gr.SelectData) -> Updates:
        with answering():
            return _click(hall, found, event.row_value)

    running = run.click(
        go, [desk.recording, desk.model, codebooks], outputs,
        show_progress_on=[drawn, table], api_visibility="private",
    )  # fmt: skip
    stop.click(None, cancels=[running], api_visibility="private")
    table.select(click, [state], [drawn, heard], api_visibility="private")
    return Panel(
        [missing, codebooks],
        lambda name: [
            gr.update(visible=not _is_discrete(hall, name)),
            gr.update(**_choices(hall, name)),
        ],
    )


def _results() -> list[Any]:
    state = gr.State(None, time_to_live=STATE_SECONDS)
    drawn = image("Units over the spectrogram (dB)", "units-picture")
    table = gr.Dataframe(
        label="Units: click a row to hear the unit's other occurrences",
        interactive=False,
        type="array",
        max_height=360,
        elem_id="units-table",
    )
    heard = gr.HTML(elem_id="units-clips")
    shown = gr.HTML(elem_id="units-figures")
    with gr.Row():
        downloads = [
            gr.DownloadButton(f"Download {kind}", interactive=False, elem_id=f"units-{kind[1:]}")
            for kind in _KINDS
        ]
    return [state, drawn, table, heard, shown, *downloads]


def _is_discrete(hall: Hall, name: str | None) -> bool:
    return bool(name) and hall.shelf.facts(str(name)).is_discrete


def _choices(hall: Hall, name: str | None) -> dict[str, Any]:
    """Return the choice of codebooks, hidden where there is only one."""
    names = list(hall.shelf.facts(name).layout) if name else []
    return {"choices": names, "value": names[:1], "visible": len(names) > 1}


def _run(
    hall: Hall, path: str | None, name: str | None, chosen: Sequence[str], progress: Any
) -> Iterator[Updates]:
    progress(0.0, desc="Reading the recording")
    facts, recording = hall.facts(name), hall.read(path)
    if not facts.is_discrete:
        raise ConfigError(_DISCRETE)
    if not set(chosen) & set(facts.layout):
        raise ConfigError("no codebook is ticked: a unit needs at least one")
    yield [gr.skip()] * 8
    progress(0.3, desc="Encoding")
    rows = [facts.layout.index(row) for row in chosen]
    found = work.units(hall.shelf.model(facts.name), recording, rows)
    progress(0.7, desc="Drawing")
    table = gr.update(value=found.rows(), headers=found.header())
    yield [
        found, show(pictures.units(found), "units"), table, "",
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


def _click(hall: Hall, found: work.Found | None, row: Sequence[Any]) -> Updates:
    if found is None:
        raise ConfigError("these units are forgotten by now: find them again")
    unit = found.units[int(row[0])]  # its number, in whatever order the table is
    here = work.occurrences(found, unit.codes)
    heard = [
        f"<h4>Unit {unit.label}: {len(here)} times in this recording</h4>",
        clips(work.clips(found, unit.codes)),
        _in_corpus(hall, found, unit),
    ]
    marked = pictures.units(found, unit.codes)
    return [show(marked, f"unit-{unit.label}"), "".join(heard)]


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
    head = f"<h4>{count:,} times in {name}</h4>"
    if corpus.note:
        return f'{head}<p class="note">{html.escape(corpus.note)}</p>'
    return head + clips(corpus.clips(unit.codes, found.codebooks))
