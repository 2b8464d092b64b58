"""Generate: new speech from a prior, piece by piece."""

from collections.abc import Iterator
from typing import Any, no_type_check

import gradio as gr

from audiovq.errors import ConfigError

from ..work import generate as work
from ._common import PROGRESS, Desk, Hall, Number, Panel, Updates, telling
from ._parts import player, run_and_cancel, wav

ABOUT = (
    "A prior has learned which codes follow which. It draws new ones, and the model's decoder "
    "makes them heard: speech-like sound that nobody said. Pieces appear as they are finished."
)
ANY = "any"
MOST = 8  # pieces at a time
LONGEST = 20.0  # seconds of a piece


def build(hall: Hall, desk: Desk) -> Panel:
    """Put the panel on the page."""
    gr.Markdown(ABOUT, elem_classes="note")
    # Which priors a model has takes a look at its weights: told once the page is there.
    missing = gr.Markdown("", visible=False, elem_classes="missing", elem_id="generate-missing")
    prior = gr.Dropdown(
        label="Prior",
        info="What draws the codes. In brackets: its kind of network, and how long it was trained; "
        "another kind or a longer training draws other speech from the same codes.",
        elem_id="generate-prior",
        **_priors(hall, None),
    )
    inputs = _controls()
    label = inputs[-1]
    run, stop = run_and_cancel("Generate", "generate")
    told = gr.HTML(elem_id="generate-told")
    with gr.Row():
        players = [
            player(f"Piece {n + 1}", f"generate-piece-{n + 1}", visible=False) for n in range(MOST)
        ]

    @no_type_check  # which would hide from gradio that it is a generator
    def go(
        path: str | None, name: str | None, chosen: str | None, *values: Any,
        progress: Any = PROGRESS,
    ) -> Iterator[Updates]:  # fmt: skip
        with telling():
            yield from _run(hall, path, name, chosen, values, progress)

    private: dict[str, Any] = {"api_visibility": "private"}
    running = run.click(
        go, [desk.recording, desk.model, prior, *inputs], [told, *players],
        show_progress_on=[told], **private,
    )  # fmt: skip
    stop.click(None, cancels=[running], **private)
    prior.change(
        lambda model, prior: gr.update(**_labels(hall, model, prior)), [desk.model, prior], label,
        show_progress="hidden", **private,
    )  # fmt: skip
    return Panel(
        [missing, prior, run],
        lambda name: [
            gr.update(**_missing(hall, name)),
            gr.update(**_priors(hall, name)),
            gr.update(interactive=bool(name) and bool(hall.shelf.priors(str(name)))),
        ],
    )


def wish_of(
    pieces: Number, seconds: Number, temperature: Number, top_k: Number, top_p: Number,
    seed: Number, label: str | None,
) -> work.Wish:  # fmt: skip
    """Return a wish as the controls state it, where 0 codes and a share of 1 mean no limit."""
    return work.Wish(
        pieces=int(pieces),
        seconds=float(seconds),
        temperature=float(temperature),
        top_k=int(top_k or 0) or None,
        top_p=float(top_p) if top_p < 1 else None,
        seed=int(seed or 0),
        label=None if label in (None, "", ANY) else label,
    )


def _controls() -> list[Any]:
    proceed = gr.Checkbox(
        False,
        label="Go on from the recording above",
        info="Its end is the beginning of every piece. Otherwise speech begins from nothing.",
        elem_id="generate-continue",
    )
    with gr.Row():
        pieces = _slider((1, MOST, 1), 3, "Pieces", "How many of them to make.")
        seconds = _slider(
            (0.5, LONGEST, 0.5), 3.0, "Length (s)", "Of each piece, with what it goes on from."
        )
        seed = gr.Number(
            0,
            precision=0,
            minimum=0,
            maximum=2**31,
            label="Seed",
            info="The same seed and settings give the same pieces.",
            min_width=240,
            elem_id="generate-seed",
        )
    with gr.Row():
        temperature = _slider(
            (0.0, 2.0, 0.05), 0.9, "Temperature",
            "Below 1 safer and duller, above 1 wilder; 0 always takes the likeliest code.",
        )  # fmt: skip
        top_k = _slider(
            (0, 512, 1), 0, "Top-k (codes)", "Draw from so many likeliest codes only; 0: from all."
        )
        top_p = _slider(
            (0.05, 1.0, 0.05), 1.0, "Top-p (share)",
            "Draw from the likeliest codes that hold this share of probability; 1: from all.",
        )  # fmt: skip
    label = gr.Dropdown(
        [ANY],
        value=ANY,
        label="Speaker",
        info="Who is to be heard, where the prior was told who speaks.",
        visible=False,
        elem_id="generate-label",
    )
    return [proceed, pieces, seconds, temperature, top_k, top_p, seed, label]


def _slider(span: tuple[Number, Number, Number], value: Number, label: str, info: str) -> gr.Slider:
    low, high, step = span
    name = label.split(" (", maxsplit=1)[0].lower()
    return gr.Slider(
        low, high, value, step=step, label=label, info=info, min_width=240,
        elem_id=f"generate-{name}",
    )  # fmt: skip


def _missing(hall: Hall, name: str | None) -> dict[str, Any]:
    if name and hall.shelf.priors(name):
        return {"value": "", "visible": False}
    able = hall.shelf.with_priors()
    if able:
        why = f"There is no prior of this model. Choose {' or '.join(able)} at the top of the page."
    else:
        why = (
            "There is no prior here. Train one on a model's codes (`audiovq extract`, then "
            "`audiovq train-prior`) and start the demo with `--models DIR`, which holds both."
        )
    return {"value": why, "visible": True}


def _priors(hall: Hall, name: str | None) -> dict[str, Any]:
    known = hall.shelf.priors(name) if name else []
    choices = [(p.title, p.name) for p in known]
    return {
        "choices": choices, "value": known[0].name if known else None, "visible": bool(known)
    }  # fmt: skip


def _labels(hall: Hall, model: str | None, prior: str | None) -> dict[str, Any]:
    known = [p for p in hall.shelf.priors(model) if p.name == prior] if model else []
    labels = known[0].labels if known else ()
    return {"choices": [ANY, *labels], "value": ANY, "visible": bool(labels)}


def _run(
    hall: Hall,
    path: str | None,
    name: str | None,
    prior: str | None,
    values: tuple[Any, ...],
    progress: Any,
) -> Iterator[Updates]:
    facts = hall.facts(name)
    if not prior:
        raise ConfigError(str(_missing(hall, name)["value"]) or "no prior is chosen")
    proceed, *rest = values
    wish = wish_of(*rest)
    prompt = hall.read(path) if proceed else None
    hidden = gr.update(value=None, visible=False)
    yield ["Drawing the first piece ...", *[hidden] * MOST]
    progress(0.0, desc=f"Piece 1 of {wish.pieces}")
    priors = hall.shelf.prior(facts.name, prior)
    made: list[Any] = []
    for piece in work.generate(hall.shelf.model(facts.name), priors, wish, prompt):
        made.append(gr.update(
            value=wav(piece.recording), visible=True, label=_told(piece)
        ))  # fmt: skip
        yield [f"{len(made)} of {wish.pieces} pieces", *made, *[hidden] * (MOST - len(made))]
        progress(len(made) / wish.pieces, desc=f"Piece {len(made) + 1} of {wish.pieces}")


def _told(piece: work.Piece) -> str:
    words = [f"Piece {piece.number}: {piece.recording.seconds:.1f} s"]
    if piece.prompt_seconds:
        words.append(f"the first {piece.prompt_seconds:.1f} s were given")
    if piece.bits_per_code is not None:
        words.append(f"{piece.bits_per_code:.1f} bit/code")
    return ", ".join([*words, f"made in {piece.seconds_of_work:.1f} s"])
