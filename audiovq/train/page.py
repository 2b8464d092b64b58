"""The page of a training run: curves of its log, and the newest snapshots."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from audiovq import audio, distributed, report
from audiovq.train.trackers.lines import read_log

Curves = Callable[[report.Page, Mapping[str, list[dict[str, Any]]]], None]


def write_report(folder: Path, name: str, add: Curves | None = None) -> None:
    """Write `report.html`: curves of the log, and the newest snapshots to see and hear.

    Args:
        folder: of the run.
        name: to call it by.
        add: adds the curves of logs by name to a page; None: `add_curves`.
    """
    if not (report.can_draw() and distributed.is_main()):
        return
    entries = read_log(folder / "log.jsonl")
    page = report.Page(f"Training run {name}", "Made from log.jsonl and snapshots in this folder.")
    (add or add_curves)(page, {name: entries})
    for original in sorted((folder / "snapshots").glob("*.original.wav")):
        stem = original.name.removesuffix(".original.wav")
        newest = max((folder / "snapshots").glob(f"{stem}.step-*.wav"), default=None)
        if newest is None:  # killed between the two
            continue
        x, x_hat = audio.load(original), audio.load(newest)
        rate = audio.probe(original).sample_rate
        page.heading(f"Validation utterance {stem}")
        sounds = {"original": x, newest.stem.rsplit(".")[-1]: x_hat}
        page.sounds(sounds, rate)
        page.figure(report.spectrograms(sounds, rate), "Mel spectrograms, time in s, level in dB.")
    page.write(folder / "report.html")


def add_curves(page: report.Page, logs: Mapping[str, list[dict[str, Any]]]) -> None:
    """Add loss curves, and codebook curves where there is a codebook, of one run or several."""
    page.heading("Loss")
    losses = {}
    for name, entries in logs.items():
        losses[f"{name}, training"] = report.from_log(entries, "train/loss")
        losses[f"{name}, validation mel"] = report.from_log(entries, "validation/mel")
    page.figure(
        report.curves(losses, "loss", log_scale=True),
        "Total training loss (mean of each log window) and the validation log-mel term (nepers).",
    )
    for key, label in (("perplexity", "perplexity (codes)"), ("usage", "usage (share of codes)")):
        found = {}
        for name, entries in logs.items():
            for part in ("train", "validation"):
                series = report.from_log(entries, f"{part}/{key}")
                if series[0]:
                    found[f"{name}, {part}"] = series
        if found:
            page.figure(
                report.curves(found, label, bottom=0.0),
                f"Codebook {key}: over each log window, and over the whole validation set.",
            )
