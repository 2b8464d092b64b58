"""Edit: change a span of codes and hear what it does."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from audiovq.errors import ConfigError

from .. import pictures
from ..facts import Facts
from ..work import edit as work
from ._common import STATE_SECONDS, Desk, Hall, Name, Number, Panel, Updates, telling
from ._parts import image, player, show, wav

ABOUT = (
    "Codes can be cut and moved like letters. Choose a stretch of time and what to do with its "
    "codes; edits add up until you start over."
)
WORDS = {
    "swap": "swap with another stretch",
    "repeat": "repeat",
    "erase": "erase",
    "reverse": "reverse in time",
    "smooth": "smooth (commonest neighbour)",
}
_MISSING = (
    "This model is continuous: it has no codes to edit. Choose a model with codebooks at the top "
    "of the page."
)
_STEPS = 12  # edits that can be taken back


@dataclass(frozen=True)
class Session:
    """What a visitor has edited so far.

    Attributes:
        model: by name.
        path: of the upload that it began with.
        steps: the codes as they were, and as they are now at the end.
    """

    model: str
    path: str | None
    steps: tuple[work.Edited, ...]


def build(hall: Hall, desk: Desk) -> Panel:
    """Put the panel on the page."""
    gr.Markdown(ABOUT, elem_classes="note")
    missing = gr.Markdown(
        _MISSING, elem_classes="missing", visible=_is_missing(hall, desk.model.value)
    )
    inputs, extras = _controls(hall)
    with gr.Row():
        run = gr.Button("Apply", variant="primary", scale=3, elem_id="edit-run")
        undo = gr.Button("Undo", elem_id="edit-undo")
        over = gr.Button("Start over", elem_id="edit-over")
    state = gr.State(None, time_to_live=STATE_SECONDS)
    outputs = [state, *_results()]
    nothing = [gr.skip()] * len(outputs)

    def apply(session: Session | None, path: str | None, name: str | None, *values: Any) -> Updates:
        with telling():
            return _apply(hall, session, path, name, wish_of(*values))
        return nothing

    def back(session: Session | None) -> Updates:
        with telling():
            return _back(hall, session)
        return nothing

    def fresh(path: str | None, name: str | None) -> Updates:
        with telling():
            facts = hall.facts(name)
            return _shown(_begun(hall, path, facts), facts)
        return nothing

    private: dict[str, Any] = {"api_visibility": "private", "show_progress_on": outputs[1:3]}
    run.click(apply, [state, desk.recording, desk.model, *inputs], outputs, **private)
    undo.click(back, [state], outputs, **private)
    over.click(fresh, [desk.recording, desk.model], outputs, **private)
    inputs[0].change(
        _visible, [inputs[0]], extras, api_visibility="private", show_progress="hidden"
    )
    return Panel(
        [missing],
        lambda name: [gr.update(visible=_is_missing(hall, name))],
    )


def wish_of(
    operation: Name, start: Number, end: Number, other_start: Number, other_end: Number,
    times: Number, width: Number,
) -> work.Edit:  # fmt: skip
    """Return an edit as the controls state it."""
    return work.Edit(
        operation=str(operation),
        start=float(start or 0),
        end=float(end or 0),
        other_start=float(other_start or 0),
        other_end=float(other_end or 0),
        times=int(times),
        width=int(width),
    )


def _is_missing(hall: Hall, name: str | None) -> bool:
    return name is not None and not hall.shelf.facts(name).is_discrete


def _controls(hall: Hall) -> tuple[list[Any], list[Any]]:
    operation = gr.Radio(
        [(words, name) for name, words in WORDS.items()],
        value="repeat",
        label="What to do",
        info="The sound is made anew from the changed codes; nothing is cut in the waveform.",
        elem_id="edit-operation",
    )
    most = hall.settings.max_seconds
    with gr.Row():
        start = _time("From (s)", "Beginning of the stretch, in seconds.", 0.5, most, "edit-start")
        end = _time("To (s)", "End of the stretch, in seconds.", 1.0, most, "edit-end")
    with gr.Row():
        other = [
            _time("Other from (s)", "Beginning of the stretch to swap with.", 1.2, most,
                  "edit-other-start", visible=False),
            _time("Other to (s)", "Its end; it may be longer or shorter.", 1.5, most,
                  "edit-other-end", visible=False),
        ]  # fmt: skip
    times = gr.Slider(
        2, 10, 2, step=1, label="Times", info="How often the stretch is heard in a row.",
        elem_id="edit-times",
    )  # fmt: skip
    width = gr.Slider(
        3, 21, 5, step=2, label="Width (codes)", visible=False, elem_id="edit-width",
        info="Each code becomes the commonest of so many around it.",
    )  # fmt: skip
    return [operation, start, end, *other, times, width], [*other, times, width]


def _time(label: str, info: str, value: float, most: float, elem_id: str, **more: Any) -> gr.Number:
    return gr.Number(
        value, label=label, info=info, minimum=0, maximum=most, step=0.05, elem_id=elem_id, **more
    )


def _visible(operation: str) -> Updates:
    swap = [gr.update(visible=operation == "swap")] * 2
    return [
        *swap, gr.update(visible=operation == "repeat"), gr.update(visible=operation == "smooth")
    ]  # fmt: skip


def _results() -> list[Any]:
    with gr.Row():
        before = player("Before: the recording, decoded from its codes", "edit-before")
        after = player("After", "edit-after")
    drawn = image("Spectrograms (dB) before and after the last edit; its span is marked",
                  "edit-picture")  # fmt: skip
    told = gr.Markdown(elem_id="edit-told", elem_classes="note")
    return [before, after, drawn, told]


def _begun(hall: Hall, path: str | None, facts: Facts) -> Session:
    recording = hall.read(path)
    begun = work.begin(hall.shelf.model(facts.name), recording)
    return Session(facts.name, path, (begun,))


def _apply(
    hall: Hall, session: Session | None, path: str | None, name: str | None, wish: work.Edit
) -> Updates:
    facts = hall.facts(name)
    if not facts.is_discrete:
        raise ConfigError(_MISSING)
    if session is None or (session.model, session.path) != (facts.name, path):
        session = _begun(hall, path, facts)
    most = hall.settings.max_seconds
    edited = work.edit(hall.shelf.model(facts.name), session.steps[-1], wish, max_seconds=most)
    first, *rest = session.steps
    return _shown(Session(facts.name, path, (first, *rest[-_STEPS:], edited)), facts)


def _back(hall: Hall, session: Session | None) -> Updates:
    if session is None or len(session.steps) < 2:
        raise ConfigError("there is no edit to take back")
    shorter = Session(session.model, session.path, session.steps[:-1])
    return _shown(shorter, hall.facts(session.model))


def _shown(session: Session, facts: Facts) -> Updates:
    first, last = session.steps[0], session.steps[-1]
    previous = session.steps[-2] if len(session.steps) > 1 else first
    drawn = show(pictures.edited(previous, last, facts.frame_rate), "edit")
    edits = len(session.steps) - 1
    told = (
        f"{edits} {'edit' if edits == 1 else 'edits'} that can be taken back; "
        f"{last.codes.shape[-1]} frames, "
        f"{last.recording.seconds:.2f} s (at first {first.recording.seconds:.2f} s)"
    )
    return [session, wav(first.recording, "before"), wav(last.recording, "edited"), drawn, told]
