"""Voice: the same words in another voice, with a model whose decoder is told who speaks."""

from collections.abc import Iterator
from typing import Any, no_type_check

import gradio as gr

from audiovq.errors import ConfigError

from .. import pictures
from ..sound import Recording
from ..work import voice as work
from ._common import PROGRESS, Desk, Hall, Panel, Updates, telling
from ._parts import image, player, run_and_cancel, show, wav

ABOUT = (
    "A model whose decoder is told who speaks can say the recording's codes in another voice: "
    "choose one by name, or give a recording of whoever shall speak."
)
HEARD = "whoever speaks in the recording below"
TABLE_ALONE = (
    "This model knows a table of voices and cannot take on any other (`audiovq fit-reference` "
    "teaches it to). Each of them is tried on this recording; the one that it is reproduced best "
    "with is chosen above."
)
ALL_VOICES = (
    "Give a recording and convert. Somebody the model was not trained with is placed among those "
    "it was, so the voice is like theirs as much as like the recording's. Or find which voice of "
    "the table fits the recording best."
)


def build(hall: Hall, desk: Desk) -> Panel:
    """Put the panel on the page."""
    gr.Markdown(ABOUT, elem_classes="note")
    name = desk.model.value
    missing = gr.Markdown(elem_classes="missing", elem_id="voice-missing", **_missing(hall, name))
    speaker = gr.Dropdown(
        label="Voice",
        info="Speakers that the model was trained with.",
        elem_id="voice-speaker",
        **_speakers(hall, name),
    )
    run, stop = run_and_cancel("Convert", "voice", interactive=_knows(hall, name))
    outputs = _results()
    example, note, (find, cancel, reference, table) = _by_example(
        _note(hall, name), shown=_knows(hall, name)
    )

    @no_type_check  # which would hide from gradio that it is a generator
    def go(
        path: str | None,
        name: str | None,
        wanted: str | None,
        reference: str | None,
        progress: Any = PROGRESS,
    ) -> Iterator[Updates]:
        with telling():
            yield from _run(hall, path, name, wanted, reference, progress)

    @no_type_check  # which would hide from gradio that it is a generator
    def seek(path: str | None, name: str | None, progress: Any = PROGRESS) -> Iterator[Updates]:
        with telling():
            yield from _find(hall, path, name, progress)

    private: dict[str, Any] = {"api_visibility": "private"}
    running = run.click(go, [desk.recording, desk.model, speaker, reference], outputs, **private)
    stop.click(None, cancels=[running], **private)
    seeking = find.click(seek, [reference, desk.model], [table, speaker], **private)
    cancel.click(None, cancels=[seeking], **private)
    reference.input(
        lambda path, name: gr.update(value=HEARD) if path and _hears(hall, name) else gr.skip(),
        [reference, desk.model],
        speaker,
        show_progress="hidden",
        **private,
    )
    return Panel(
        [missing, speaker, run, example, note],
        lambda name: [
            gr.update(**_missing(hall, name)),
            gr.update(**_speakers(hall, name)),
            gr.update(interactive=_knows(hall, name)),
            gr.update(visible=_knows(hall, name)),
            gr.update(value=_note(hall, name)),
        ],
    )


def _results() -> list[Any]:
    with gr.Row():
        original = player("Original", "voice-original")
        result = player("In the chosen voice", "voice-result")
    drawn = image("Spectrograms (dB): original and converted", "voice-picture")
    return [original, result, drawn]


def _by_example(
    about: str, *, shown: bool
) -> tuple[gr.Accordion, gr.Markdown, tuple[gr.Button, gr.Button, gr.Audio, gr.Dataframe]]:
    with gr.Accordion("Choose the voice by a recording", open=False, visible=shown) as example:
        note = gr.Markdown(about, elem_classes="note", elem_id="voice-note")
        reference = gr.Audio(
            label="Reference: a few seconds of the voice you want",
            type="filepath",
            sources=["upload", "microphone"],
            buttons=[],
            elem_id="voice-reference",
        )
        find, cancel = run_and_cancel("Find the nearest voice", "voice-find")
        table = gr.Dataframe(
            headers=["voice", "log-mel distance (dB)"],
            label="Nearest voices, best first",
            interactive=False,
            type="array",
            visible=False,
            elem_id="voice-table",
        )
    return example, note, (find, cancel, reference, table)


def _knows(hall: Hall, name: str | None) -> bool:
    return bool(name) and bool(hall.shelf.facts(str(name)).speakers)


def _note(hall: Hall, name: str | None) -> str:
    """Return what a recording can do for a model."""
    return ALL_VOICES if _hears(hall, name) else TABLE_ALONE


def _hears(hall: Hall, name: str | None) -> bool:
    return bool(name) and hall.shelf.facts(str(name)).hears_voices


def _missing(hall: Hall, name: str | None) -> dict[str, Any]:
    if _knows(hall, name):
        return {"value": "", "visible": False}
    able = [f.name for f in hall.shelf.models() if f.speakers]
    if able:
        why = f"This model takes no speaker. Choose {' or '.join(able)} at the top of the page."
    else:
        why = (
            "None of the models here takes a speaker. Train one with `audiovq train "
            "autoencoder/vq_voice` and start the demo with `--models` and its folder."
        )
    return {"value": why, "visible": True}


def _speakers(hall: Hall, name: str | None) -> dict[str, Any]:
    known = hall.shelf.facts(name).speakers if name else ()
    choices = [*[HEARD] * _hears(hall, name), work.ANYONE, *known] if known else []
    return {"choices": choices, "value": known[0] if known else None, "visible": bool(known)}


def _run(
    hall: Hall,
    path: str | None,
    name: str | None,
    wanted: str | None,
    reference: str | None,
    progress: Any,
) -> Iterator[Updates]:
    facts = hall.facts(name)
    if not facts.speakers:
        raise ConfigError(f"{facts.name} takes no speaker: choose a model that does")
    progress(0.0, desc="Reading the recording")
    recording = hall.read(path)
    yield [gr.skip()] * 3
    progress(0.3, desc="Converting")
    voice = _voice(hall, wanted, reference)
    found = work.convert(hall.shelf.model(facts.name), recording, voice)
    told = {"original": found.original, found.voice: found.recording}
    yield [
        wav(found.original, "original"),
        gr.update(value=wav(found.recording), label=f"In the voice of {found.voice}"),
        show(pictures.sounds(told), "voices"),
    ]  # fmt: skip


def _voice(hall: Hall, wanted: str | None, reference: str | None) -> str | Recording | None:
    """Return whose voice is wanted: a speaker of the model, a recording of anyone, or nobody's."""
    if wanted != HEARD:
        return None if wanted == work.ANYONE else wanted
    return _reference(hall, reference)


def _reference(hall: Hall, path: str | None) -> Recording:
    if not path:
        raise ConfigError("there is no reference recording yet: upload or record one")
    return hall.read(path)


def _find(hall: Hall, path: str | None, name: str | None, progress: Any) -> Iterator[Updates]:
    facts = hall.facts(name)
    progress(0.0, desc="Reading the reference")
    reference = _reference(hall, path)
    for tried in work.nearest(hall.shelf.model(facts.name), reference):
        progress(tried.done, desc="Trying voices")
        rows = [[speaker, f"{distance:.2f}"] for speaker, distance in tried.speakers[:10]]
        yield [
            gr.update(value=rows, visible=True),
            gr.update(value=tried.speakers[0][0]),
        ]
