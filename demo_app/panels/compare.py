"""Compare: one recording through several models, rate beside distortion, equally loud."""

import html
from collections.abc import Iterator, Sequence
from typing import Any, no_type_check

import gradio as gr

from audiovq.errors import ConfigError

from .. import pictures
from ..work import compare as work
from ..work.loudness import HOW
from ._common import PROGRESS, Desk, Hall, Panel, Updates, telling
from ._parts import image, player, run_and_cancel, show, wav

ABOUT = (
    "The same recording through several models: what each costs in bits, how far it is from the "
    f"original, and how it sounds. {HOW}"
)
MOST = 6  # models at a time: as many players as one can tell apart


def build(hall: Hall, desk: Desk) -> Panel:
    """Put the panel on the page."""
    gr.Markdown(ABOUT, elem_classes="note")
    names = hall.shelf.names()
    models = gr.Dropdown(
        names,
        value=first(hall),
        multiselect=True,
        max_choices=MOST,
        label="Models to compare",
        info=f"Two to {MOST} of the server's models; each is loaded when its turn comes.",
        elem_id="compare-models",
    )
    run, stop = run_and_cancel("Compare", "compare")
    outputs = _results()

    @no_type_check  # which would hide from gradio that it is a generator
    def go(path: str | None, chosen: Sequence[str], progress: Any = PROGRESS) -> Iterator[Updates]:
        with telling():
            yield from _run(hall, path, chosen, progress)

    running = run.click(
        go, [desk.recording, models], outputs,
        show_progress_on=outputs[2:4],  # always there: the note, the first player
        api_visibility="private",
    )  # fmt: skip
    stop.click(None, cancels=[running], api_visibility="private")
    return Panel()


def first(hall: Hall) -> list[str]:
    """Return three models to begin with: those with codes first, which have a rate."""
    known = sorted(
        hall.shelf.models(), key=lambda facts: (bool(facts.speakers), not facts.is_discrete)
    )
    return [facts.name for facts in known[:3]]


def _results() -> list[Any]:
    note = gr.HTML(elem_id="compare-note")
    table = gr.Dataframe(
        label="Rate and distortion, model by model",
        interactive=False,
        type="array",
        wrap=True,
        visible=False,
        elem_id="compare-table",
        elem_classes="scrolls",
    )
    drawn = image("Distortion over rate (bit/s): further down and left is better", "compare-plot")
    gr.Markdown("**Listen**: play one, then another; all are equally loud.", elem_classes="note")
    with gr.Row():
        original = player("Original", "compare-original")
        players = [
            player(f"Model {n + 1}", f"compare-player-{n + 1}", visible=False) for n in range(MOST)
        ]
    return [table, drawn, note, original, *players]


def _run(hall: Hall, path: str | None, chosen: Sequence[str], progress: Any) -> Iterator[Updates]:
    if len(chosen) > MOST:
        raise ConfigError(f"{len(chosen)} models are chosen; at most {MOST} are compared at a time")
    progress(0.0, desc="Reading the recording")
    recording = hall.read(path)
    hidden = [gr.update(value=None, visible=False)] * MOST
    yield [hidden[0], hidden[0], "", None, *hidden]
    progress(0.05, desc=f"Model 1 of {len(chosen)}")
    for found in work.compare(hall.shelf.model, list(chosen), recording):
        yield _shown(found)
        done = len(found.entries) + len(found.failed)
        progress(found.done, desc=f"Model {min(done + 1, len(chosen))} of {len(chosen)}")


def _shown(found: work.Comparison) -> Updates:
    players = [
        gr.update(value=wav(e.heard, e.name), label=f"{e.name} ({e.gain:+.1f} dB)", visible=True)
        for e in found.entries
    ]
    hidden = [gr.update(value=None, visible=False)] * (MOST - len(players))
    failed = "".join(
        f"<p>{html.escape(name)}: {html.escape(why)}</p>" for name, why in found.failed.items()
    )
    drawn = show(pictures.rate_distortion(found), "rate-distortion") if found.entries else gr.skip()
    table = gr.update(value=found.rows(), headers=found.header(), visible=True)
    return [table, drawn, failed, wav(found.original, "original"), *players, *hidden]
