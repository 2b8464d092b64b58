"""The same functions for programs: named endpoints of `gradio_client`, with documented arguments.

Their components are never shown; gradio checks what arrives in them as it does on the page, and
describes the endpoints by their labels (`Client(...).view_api()`).
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from audiovq.errors import ConfigError

from .panels import compare as compare_panel
from .panels import edit as edit_panel
from .panels import generate as generate_panel
from .panels import units as units_panel
from .panels._common import Hall, Name, Number, answering
from .panels._parts import wav
from .work import compare, edit, generate, resynthesise, units, voice
from .work.changes import MOST_WIDTH

Endpoint = Callable[..., Any]
_LENGTH = "Length of each (s): with what it goes on from"


def add(hall: Hall) -> None:
    """Add the endpoints to the page that is being built."""
    with gr.Column(visible=False):
        for name, make in _ENDPOINTS.items():
            function, inputs, outputs = make(hall)
            gr.Button(name).click(function, inputs, outputs, api_name=name, show_progress="hidden")


def _recording(what: str = "Recording: a WAV, FLAC, OGG or MP3 file") -> gr.Audio:
    return gr.Audio(type="filepath", label=what)


def _model(hall: Hall, *, with_speakers: bool = False) -> gr.Dropdown:
    """Return a choice of models; the first is the one that a call without any gets."""
    models = sorted(hall.shelf.models(), key=lambda f: with_speakers and not f.speakers)
    return _choice([f.name for f in models], "Model: one of the names that /models gives")


def _choice(choices: Sequence[str], label: str, **more: Any) -> gr.Dropdown:
    """Return a choice that takes any value: our own functions refuse it in better words."""
    return gr.Dropdown(list(choices), label=label, allow_custom_value=True, **more)


def _sound(label: str) -> gr.Audio:
    return gr.Audio(type="filepath", label=label)


def _number(label: str, value: Number, least: Number, most: Number) -> gr.Number:
    return gr.Number(value, label=label, minimum=least, maximum=most)


def _whole(label: str, value: Number, least: Number, most: Number) -> gr.Number:
    return gr.Number(value, label=label, precision=0, minimum=least, maximum=most)


def _models(hall: Hall) -> tuple[Endpoint, list[Any], list[Any]]:
    def models() -> list[dict[str, Any]]:
        """Return what the server's models are: names, rates, codebooks, speakers and priors."""
        with answering():
            return [
                {
                    **dataclasses.asdict(facts),
                    "priors": [p.name for p in hall.shelf.priors(facts.name)],
                }
                for facts in hall.shelf.models()
            ]

    return models, [], [gr.JSON(label="Models: a list of name, sample_rate (Hz), bitrate (bit/s)")]


def _resynthesise(hall: Hall) -> tuple[Endpoint, list[Any], list[Any]]:
    def resynthesised(recording: str, model: Name, codebooks: Number) -> tuple[str, dict[str, Any]]:
        """Pass a recording through a model and back: the reconstruction, and what it is worth."""
        with answering():
            facts, sound = hall.facts(model), hall.read(recording)
            used = codebooks or None
            prior = hall.shelf.whole_prior(model, used)
            found = resynthesise.resynthesise(hall.shelf.model(model), sound, used, prior=prior)
            return wav(found.reconstruction, facts.name), _figures(found)

    inputs = [
        _recording(),
        _model(hall),
        _whole("Codebooks: of a residual model, how many of the first to use; 0: all", 0, 0, 256),
    ]
    return (
        resynthesised,
        inputs,
        [
            _sound("Reconstruction: a WAV file at the model's rate"),
            gr.JSON(
                label="Figures: rates (bit/s), scores with units, real_time_factor, codes (K, T)"
            ),
        ],
    )


def _figures(found: resynthesise.Resynthesis) -> dict[str, Any]:
    return {
        "rates": {r.name: r.bits_per_second for r in found.rates},
        "scores": {s.name: {"value": s.value, "unit": s.unit, "why": s.why} for s in found.scores},
        "real_time_factor": found.real_time_factor,
        "codes": None if found.codes is None else found.codes.tolist(),
        "notes": list(found.notes),
    }


def _compare(hall: Hall) -> tuple[Endpoint, list[Any], list[Any]]:
    def compared(recording: str, models: Any) -> tuple[dict[str, Any], list[str]]:
        """Pass a recording through several models: a table, and each one's sound, equally loud."""
        with answering():
            names, heard = _names(models), hall.read(recording)
            *_, last = compare.compare(hall.shelf.model, names, heard)
            table = {"header": last.header(), "rows": last.rows(), "failed": dict(last.failed)}
            return table, [wav(e.heard, e.name) for e in last.entries]

    models = _choice(
        hall.shelf.names(), "Models: a list of names that /models gives", multiselect=True
    )
    return (
        compared,
        [_recording(), models],
        [
            gr.JSON(label="Table: header with units, rows, and why models failed"),
            gr.File(file_count="multiple", label="Reconstructions: WAV files at one loudness"),
        ],
    )


def _names(models: object) -> list[str]:
    """Return names of models to compare."""
    if not isinstance(models, list) or not all(isinstance(name, str) for name in models):
        raise ConfigError(f"models must be a list of names, not {str(models)[:40]}")
    if len(models) > compare_panel.MOST:
        raise ConfigError(f"at most {compare_panel.MOST} models are compared at a time")
    return models


def _units(hall: Hall) -> tuple[Endpoint, list[Any], list[Any]]:
    def found(recording: str, model: Name) -> tuple[list[dict[str, Any]], list[str]]:
        """Return the deduplicated units of a recording with their times, and as files."""
        with answering():
            hall.facts(model)
            made = units.units(hall.shelf.model(model), hall.read(recording))
            return [dataclasses.asdict(u) for u in made.units], units_panel.files_of(made)

    return (
        found,
        [_recording(), _model(hall)],
        [
            gr.JSON(label="Units: codes, start (s), end (s), frames"),
            gr.File(file_count="multiple", label="The same as .jsonl, .km and .csv"),
        ],
    )


def _occurrences(hall: Hall) -> tuple[Endpoint, list[Any], list[Any]]:
    def occurrences(recording: str, model: Name, unit: Number) -> list[dict[str, Any]]:
        """Return where a unit of the first codebook occurs in a recording."""
        with answering():
            hall.facts(model)
            made = units.units(hall.shelf.model(model), hall.read(recording))
            size = made.codebook_sizes[0]
            if unit >= size:
                raise ConfigError(f"unit {unit}: the first codebook has codes from 0 to {size - 1}")
            return [dataclasses.asdict(u) for u in units.occurrences(made, [unit])]

    code = _whole("Unit: a code of the first codebook", 0, 0, 1 << 31)
    inputs = [_recording(), _model(hall), code]
    return occurrences, inputs, [gr.JSON(label="Occurrences: start (s), end (s), frames")]


def _edit(hall: Hall) -> tuple[Endpoint, list[Any], list[Any]]:
    def edited(
        recording: str, model: Name, operation: Name, start: Number, end: Number,
        other_start: Number, other_end: Number, times: Number, width: Number,
    ) -> str:  # fmt: skip
        """Change a stretch of a recording's codes, and return how they sound then."""
        with answering():
            hall.facts(model)
            chosen = hall.shelf.model(model)
            wish = edit_panel.wish_of(operation, start, end, other_start, other_end, times, width)
            begun = edit.begin(chosen, hall.read(recording))
            return wav(edit.edit(chosen, begun, wish, max_seconds=most).recording, "edited")

    most = hall.settings.max_seconds
    return (
        edited,
        [
            _recording(),
            _model(hall),
            _choice(edit.OPERATIONS, "Operation", value="repeat"),
            _number("Start of the stretch (s)", 0.0, 0, most),
            _number("End of the stretch (s)", 0.5, 0, most),
            _number("Start of the stretch to swap with (s); of swap only", 0.0, 0, most),
            _number("End of the stretch to swap with (s); of swap only", 0.0, 0, most),
            _whole("Times that the stretch is heard; of repeat only", 2, 1, 1000),
            _whole("Codes that are looked at, an odd number; of smooth only", 5, 1, MOST_WIDTH),
        ],
        [_sound("Edited: a WAV file at the model's rate")],
    )


def _voice(hall: Hall) -> tuple[Endpoint, list[Any], list[Any]]:
    def converted(
        recording: str, model: Name, speaker: str = "", reference: str | None = None
    ) -> str:
        """Say a recording in the voice of a speaker of the model, or of a reference recording."""
        with answering():
            hall.facts(model)
            chosen = hall.shelf.model(model)
            if speaker and reference:
                raise ConfigError("both a speaker and a reference given: give one of them")
            wanted = hall.read(reference) if reference else speaker or None
            made = voice.convert(chosen, hall.read(recording), wanted)
            return wav(made.recording)

    speaker = gr.Textbox("", label="Speaker: a name that /models gives for the model; '': anyone")
    return (
        converted,
        [
            _recording(),
            _model(hall, with_speakers=True),
            speaker,
            _recording("Reference: whose voice, of anyone"),
        ],
        [_sound("Converted: a WAV file at the model's rate")],
    )


def _generate(hall: Hall) -> tuple[Endpoint, list[Any], list[Any]]:
    def generated(
        model: Name, prior: str, recording: str | None = None, pieces: Number = 1,
        seconds: Number = 3, temperature: Number = 1, top_k: Number = 0, top_p: Number = 1,
        seed: Number = 0, label: str = "",
    ) -> list[str]:  # fmt: skip
        """Draw new speech from a prior, or go on from a recording; returns the pieces."""
        with answering():
            hall.facts(model)
            priors = hall.shelf.prior(model, prior or _first_prior(hall, model))
            wish = generate_panel.wish_of(pieces, seconds, temperature, top_k, top_p, seed, label)
            prompt = hall.read(recording) if recording else None
            made = generate.generate(hall.shelf.model(model), priors, wish, prompt)
            return [wav(piece.recording) for piece in made]

    return (
        generated,
        [
            _model(hall),
            gr.Textbox("", label="Prior: a name that /models gives for the model; '': the first"),
            _recording("Recording to go on from; none: speech begins from nothing"),
            _whole("Pieces", 1, 1, generate_panel.MOST),
            _number(_LENGTH, 3, 0, generate_panel.LONGEST),
            _number("Temperature: 0 takes the likeliest code", 1, 0, 100),
            _whole("Top-k: draw from so many codes only; 0: all", 0, 0, 1 << 20),
            _number("Top-p: draw from the codes of this share of probability; 1: all", 1, 0, 1),
            _whole("Seed: the same one gives the same pieces", 0, 0, 1 << 31),
            gr.Textbox("", label="Speaker, where the prior was told who speaks; '': any"),
        ],
        [gr.File(file_count="multiple", label="Pieces: WAV files")],
    )


def _first_prior(hall: Hall, model: str) -> str:
    known = hall.shelf.priors(model)
    if not known:
        raise ConfigError(f"there is no prior of {model}")
    return known[0].name


_ENDPOINTS = {
    "models": _models,
    "resynthesise": _resynthesise,
    "compare": _compare,
    "units": _units,
    "occurrences": _occurrences,
    "edit": _edit,
    "voice": _voice,
    "generate": _generate,
}
