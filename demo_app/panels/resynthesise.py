"""Resynthesise: a recording through a model and back."""

from collections.abc import Iterator
from typing import Any, no_type_check

import gradio as gr

from .. import pictures
from ..facts import Facts
from ..work import resynthesise as work
from ._common import PROGRESS, Desk, Hall, Number, Panel, Updates, answering
from ._parts import figures, file, image, plain, player, run_and_cancel, show, wav

ABOUT = (
    "The recording is turned into codes by the model's encoder and back into sound by its decoder. "
    "Hear what survives, see where the two differ, and read what the codes cost."
)


def build(hall: Hall, desk: Desk) -> Panel:
    """Put the panel on the page."""
    gr.Markdown(ABOUT, elem_classes="note")
    codebooks = gr.Slider(
        step=1,
        precision=0,
        label="Codebooks",
        info="A residual model refines its codes one codebook after the other. Use only the first "
        "so many: fewer bits, rougher sound.",
        elem_id="resynthesise-codebooks",
        **codebook_range(hall, desk.model.value),
    )
    run, stop = run_and_cancel("Resynthesise", "resynthesise")
    outputs = _results()

    @no_type_check  # which would hide from gradio that it is a generator
    def go(
        path: str | None, name: str | None, count: Number, progress: Any = PROGRESS
    ) -> Iterator[Updates]:
        with answering():
            yield from _run(hall, path, name, count, progress)

    shared: dict[str, Any] = {
        "inputs": [desk.recording, desk.model, codebooks],
        "outputs": outputs,
        "show_progress_on": outputs[:2],
        "api_visibility": "private",
    }
    events: list[Any] = [run.click(go, **shared), codebooks.release(go, **shared)]
    stop.click(None, cancels=events, api_visibility="private")
    return Panel([codebooks], lambda name: [gr.update(**codebook_range(hall, name))])


def codebook_range(hall: Hall, name: str | None) -> dict[str, Any]:
    """Return the slider's range for a model; it is hidden where there is nothing to choose."""
    prefixes = hall.shelf.facts(name).prefixes if name else ()
    if len(prefixes) < 2:  # wide, since the last model's number may still be sent from the page
        return {"minimum": 1, "maximum": 256, "value": 1, "visible": False}
    return {"minimum": 1, "maximum": max(prefixes), "value": max(prefixes), "visible": True}


def figures_of(found: work.Resynthesis) -> list[tuple[str, str, str]]:
    """Return the figures of a resynthesis: name, value with its unit, and what it means."""
    rates = [(r.label, f"{r.bits_per_second:,.0f} bit/s", r.about) for r in found.rates]
    scores = [(s.label, s.text, s.about) for s in found.scores]
    about = (
        f"Seconds of computation per second of audio: {found.speed:.0f} times faster than speech "
        f"(encoding {found.encode_seconds:.2f} s, decoding {found.decode_seconds:.2f} s)."
    )
    notes = [("Note", "", note) for note in found.notes]
    return [*rates, *scores, ("Real-time factor", f"{found.real_time_factor:.3f}", about), *notes]


def _results() -> list[Any]:
    with gr.Row():
        original = player("Original, at the model's sample rate", "resynthesise-original")
        result = player("Reconstruction", "resynthesise-result")
    shown = gr.HTML(elem_id="resynthesise-figures")
    spectra = image(
        "Spectrograms (dB): original, reconstruction, difference", "resynthesise-spectrograms"
    )
    codes = image("Codes over time (s), one row per codebook", "resynthesise-codes")
    download = gr.DownloadButton(
        "Download the codes (.avq)", interactive=False, elem_id="resynthesise-download"
    )
    return [original, result, shown, spectra, codes, download]


def _run(
    hall: Hall, path: str | None, name: str | None, count: Number, progress: Any
) -> Iterator[Updates]:
    progress(0.0, desc="Reading the recording")
    facts, recording = hall.facts(name), hall.read(path)
    progress(0.2, desc="Encoding, decoding, measuring")
    yield [gr.skip()] * 6  # a place where Cancel can stop it
    codebooks = int(count) if len(facts.prefixes) > 1 else None
    model, prior = hall.shelf.model(facts.name), hall.shelf.whole_prior(facts.name, codebooks)
    found = work.resynthesise(model, recording, codebooks, prior=prior)
    heard = [wav(found.original, "original"), wav(found.reconstruction, facts.name)]
    heard.append(figures(figures_of(found)))
    progress(0.8, desc="Drawing")
    yield [*heard, gr.skip(), gr.skip(), gr.skip()]
    spectra = show(pictures.spectrograms(found), "spectrograms")
    avq = None if found.codes is None else work.compressed(model, found, prior)
    yield [*heard, spectra, *_of_codes(found, facts, avq)]


def _of_codes(found: work.Resynthesis, facts: Facts, avq: bytes | None) -> Updates:
    if found.codes is None or avq is None:
        return [gr.update(value=None, visible=False)] * 2
    drawn = pictures.codes(found.codes, found.codebook_sizes, found.layout, facts.frame_rate)
    target = file(avq, f"{plain(found.original.name)}.avq")
    return [
        show(drawn, "codes"),
        gr.update(value=target, interactive=True, visible=True),
    ]
