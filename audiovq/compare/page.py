"""The report of a comparison: what was held equal, figures, pictures, and sounds to judge by."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import audiovq
from audiovq import report
from audiovq.compare import table
from audiovq.compare.plan import Run
from audiovq.compare.plots import codebook_use, rate_distortion
from audiovq.compare.table import Row
from audiovq.data.manifest import Manifest
from audiovq.files import atomic_write
from audiovq.train.trackers.lines import read_log

UTTERANCES, SECONDS = 3, 3.0  # to listen to; more would make the page slow to open
_AXES = {
    "log_mel_distance": "Distance of the spectra: what these models are trained for.",
    "stoi": "Intelligibility, as STOI predicts it.",
    "si_sdr": "Waveform match. Spectral losses do not ask for the phase, so this stays low for "
    "every model and says little about how it sounds.",
}
_USE = (
    "Share of the codes that occur in the evaluated speech, and how many equally common codes "
    "would carry as much (perplexity); of several codebooks the geometric mean."
)
_READING = (
    "Nominal bit/s is what a fixed-length code of every code costs; unigram bit/s what an ideal "
    "code that knows how often each occurs would cost; the KL rate of a VAE is what bits-back "
    "coding of samples would cost. A continuous model without a prior has no rate: its latents "
    "are 32-bit floats, and its distortion is a bound for the others, not a competitor. "
    "Differences within the intervals, or between single seeds, are no differences."
)
_SHORT = (
    "Every model had the same number of steps: the order says which model learns soonest at these "
    "settings, not which ends best. Where steps are few, codebooks that need time to come "
    "into use, penalties whose weight was never tuned and deep residual stacks are worse than they "
    "would be after a real training."
)


def write(
    folder: Path,
    plan: Sequence[Run],
    rows: Sequence[Row],
    *,
    facts: Mapping[str, str],
    data: Manifest,
    split: str,
) -> None:
    """Write report.html and rate_distortion.png.

    Args:
        folder: of the comparison.
        plan: all runs.
        rows: of the table, one per run.
        facts: what was held equal, by what it is called.
        data: the corpus.
        split: the split to listen to.
    """
    models = table.by_model(rows)
    page = report.Page("Models on equal terms", f"{len(models)} models compared by audiovq")
    page.heading("What was equal")
    page.facts({k: v for k, v in facts.items() if k != "command"})
    page.code(facts["command"])
    page.heading("Figures")
    header, cells = table.text_table(models)
    ranges = "the lowest and highest seed" if len(models[0].seeds) > 1 else "its 95 % interval"
    note = f"In brackets: {ranges}. Marked: the best. All figures are in table.csv and table.json."
    page.table(header, cells, note, table.best(models))
    page.heading("How to read this")
    page.text(_READING)
    page.text(_SHORT)
    page.heading("Rate and distortion")
    for name, about in _AXES.items():
        if any(name in r.values for r in models):
            drawing = rate_distortion(models, name)
            page.figure(drawing, f"{about} Filled: nominal rate; hollow: unigram; diamond: KL.")
            if name == "log_mel_distance":
                atomic_write(folder / "rate_distortion.png", report.png(drawing))
    if any("usage" in r.values for r in models):
        page.heading("Codebooks")
        page.figure(codebook_use(models), _USE)
    _add_curves(page, plan)
    _add_sounds(page, plan, data, split)
    page.write(folder / "report.html")


def _add_curves(page: report.Page, plan: Sequence[Run]) -> None:
    first = [r for r in plan if r.seed == plan[0].seed]
    logs = {r.entry.label: read_log(r.folder / "log.jsonl") for r in first}
    page.heading(f"Training (seed {plan[0].seed})")
    for key, label, about in (
        ("train/mel", "log-mel loss (nepers)", "The reconstruction loss while training."),
        ("validation/mel", "log-mel loss (nepers)", "The same on held-out validation speakers."),
        ("train/usage", "usage (share of codes)", "Codes used at least once in a log window."),
    ):
        series = {k: report.from_log(v, key) for k, v in logs.items()}
        found = {k: v for k, v in series.items() if v[0]}
        if found:
            bottom = 0.0 if key == "train/usage" else None
            page.figure(report.curves(found, label, log_scale=bottom is None, bottom=bottom), about)


@torch.no_grad()
def _add_sounds(page: report.Page, plan: Sequence[Run], data: Manifest, split: str) -> None:
    first = [r for r in plan if r.seed == plan[0].seed]
    models = {r.entry.label: audiovq.load(r.folder) for r in first}
    rate = next(iter(models.values())).sample_rate
    records = data.select(None if split == "all" else split)
    chosen = records[:: max(1, len(records) // UTTERANCES)][:UTTERANCES]
    for number, record in enumerate(chosen):
        x = data.load(record, rate)[..., : round(SECONDS * rate)]
        sounds: dict[str, Tensor] = {"original": x}
        sounds |= {label: model.reconstruct(x) for label, model in models.items()}
        page.heading(f"Listen: {record.id}")
        if record.text:
            page.text(record.text, note=True)
        page.sounds(sounds, rate)
        if number == 0:
            page.figure(
                report.spectrograms(sounds, rate), "Mel spectrograms, time in s, level in dB."
            )


def facts_of(
    plan: Sequence[Run],
    evaluations: Sequence[Mapping[str, Any]],
    data: Manifest,
    command: str,
    jobs: int,
) -> dict[str, str]:
    """Return what was held equal, for people."""
    held_out = evaluations[0]["data"]["split"] in {"validation", "test"}
    config, tested = plan[0].config, evaluations[0]
    train = data.select("train")
    hours = sum(r.duration for r in train) / 3600
    speakers = len({r.speaker for r in train} - {None})
    steps, size = config.train.max_steps, config.data.batch_size
    return {
        "steps": f"{steps:,} of {size} segments of {config.data.segment_seconds:g} s",
        "seeds": ", ".join(str(s) for s in dict.fromkeys(r.seed for r in plan)),
        "training data": f"{data.path.name}: {len(train)} utterances, {speakers} speakers, "
        f"{hours:.2f} h",
        "evaluated on": f"{tested['data']['split']}: {tested['data']['utterances']} utterances, "
        f"{tested['data']['speakers']} {'other ' * held_out}speakers, "
        f"{60 * tested['data']['hours']:.1f} min",
        "encoder and decoder": f"{config.model.encoder.name} and {config.model.decoder.name}, "
        f"{config.model.sample_rate} Hz, equal in all settings",
        "losses, optimizer, schedule": "equal in all settings (comparison.json lists them)",
        "machine": f"{tested['machine']['device']}, {tested['machine']['cpu']}, torch "
        f"{tested['machine']['torch']}; times are wall clock, {jobs} model{'s' * (jobs > 1)} at a "
        f"time, reported and never made equal",
        "date": str(tested["date"])[:10],
        "command": command,
    }
