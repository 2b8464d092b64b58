"""Pages about priors: that of a training run, made from its folder, and one of pieces to hear."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from audiovq import report
from audiovq.eval import prior_figures, prior_summary, samples
from audiovq.eval.prior_summary import Summary
from audiovq.eval.samples import Piece
from audiovq.train.trackers.lines import read_log

SAMPLES = "samples"  # in a run folder
_FIGURES = ("bits_per_code", "bits_per_second", "average/bits_per_code")
_ROWS = 20  # of the table of validations
_RATES = (
    "What the same codes cost, written in several ways. In brackets: the 95 % interval over "
    "speakers. Runs without durations are no rate of the same message; plug-in rates (of these "
    "codes, of runs) are fitted to the very codes they are of. No rate holds the cost of the prior "
    "itself. Where validation chose the best prior, it chose on these utterances: `audiovq score` "
    "measures it on test speakers."
)
_FOLLOWS = (
    "Red: the code of the column follows that of the row more often than by chance; red blocks are "
    "codes that lead to each other. On the right: how often the next code is the same."
)
_STRIP = (
    "Each code's surprise under the prior, over the spectrogram of its own {milliseconds:g} ms. "
    "{mark} Surprise is minus log2 of the probability that the prior, as learned, gives the code "
    "after those before it; a low temperature draws codes that do not surprise it."
)
_MARKS = ("Dashed: the mean.", "Each row is a codebook.")


def write_run(folder: Path, name: str) -> None:
    """Write `report.html` of a prior's run from what its folder holds.

    That is log.jsonl, held_out.json, and the pieces in samples/; what is not there is left out, and
    so are pictures without matplotlib.

    Args:
        folder: of the run.
        name: to call it by.

    Raises:
        AudioVQError: a file is there and cannot be read.
    """
    page = report.Page(f"Training run {name}", "Made from log.jsonl and other files in this folder")
    add_curves(page, {name: read_log(folder / "log.jsonl")})
    file = folder / prior_summary.FILE
    found = prior_summary.read(file) if file.is_file() else None
    if found is not None:
        add_summary(page, found)
    if pieces := samples.read(folder / SAMPLES):
        page.heading("Samples")
        add_pieces(page, pieces, None if found is None else found.bits_per_code)
    page.write(folder / "report.html")


def write(
    path: Path,
    title: str,
    pieces: Sequence[Piece],
    *,
    subtitle: str = "",
    held_out: float | None = None,
) -> None:
    """Write a page of pieces to hear, each with its surprise over its spectrogram.

    Args:
        path: the HTML file.
        title: its heading.
        pieces: what to show.
        subtitle: a sentence below.
        held_out: bits per code of held-out real speech, to compare with.
    """
    page = report.Page(title, subtitle)
    add_pieces(page, pieces, held_out)
    page.write(path)


def write_samples(folder: Path, run: Path | None = None) -> None:
    """Write `report.html` of a folder of drawn pieces; and that of the run whose samples they are.

    Args:
        folder: of the pieces.
        run: the run folder of the prior, if there is one.
    """
    page = folder / "report.html"
    title = (
        "Speech drawn from a prior" if run is None else f"Speech drawn from {run.resolve().name}"
    )
    write(page, title, samples.read(folder), held_out=held_out_bits(run))
    if run is not None and folder.resolve() == (run / SAMPLES).resolve():
        write_run(run, str(run))


def run_of(prior: Path) -> Path | None:
    """Return the run folder that a prior is in or is named by; None if it stands alone."""
    for folder in (prior, prior.absolute().parent):
        if (folder / "log.jsonl").is_file() and (folder / "config.yaml").is_file():
            return folder
    return None


def held_out_bits(run: Path | None) -> float | None:
    """Return bits per code of a run's held-out speakers; None if they were not scored."""
    path = None if run is None else run / prior_summary.FILE
    return prior_summary.read(path).bits_per_code if path and path.is_file() else None


def add_curves(page: report.Page, logs: Mapping[str, list[dict[str, Any]]]) -> None:
    """Add the curves of bits per code, and what the codes cost in the end."""
    page.heading("Bits per code")
    keys = {
        "training": "train/bits_per_code",
        "held-out speakers": "validation/bits_per_code",
        "held-out speakers, averaged weights": "validation/average/bits_per_code",
        "held-out speakers, unigram of the training codes": "validation/unigram_bits_per_code",
    }
    found = {}
    for name, entries in logs.items():
        for label, key in keys.items():
            series = report.from_log(entries, key)
            if series[0]:
                found[f"{name}, {label}" if len(logs) > 1 else label] = series
    if report.can_draw() and any(len(steps) > 1 for steps, _ in found.values()):
        page.figure(
            report.curves(found, "bits per code"),
            "Training: with dropout, mean of each log window. Held-out speakers: whole utterances.",
        )
    rows = []
    for name, entries in logs.items():
        scored = [e for e in entries if "validation/bits_per_code" in e]
        for e in scored[:: -max(1, -(-len(scored) // _ROWS))][::-1]:  # the last is among them
            figures = [e.get(f"validation/{k}") for k in _FIGURES]
            rows.append([name, e["step"], *("" if v is None else f"{v:.4f}" for v in figures)])
    header = ["run", "step", "bits per code", "bits per second", "bits per code, averaged weights"]
    if not any(row[-1] for row in rows):
        header, rows = header[:-1], [row[:-1] for row in rows]
    page.table(header, rows)


def add_summary(page: report.Page, found: Summary) -> None:
    """Add what the codes of held-out speakers cost, which code follows which, and surprise."""
    page.heading("Rates of held-out speakers")
    page.text(f"{found.data}; the prior: {found.prior}, {found.fingerprint[:12]}", note=True)
    rows = []
    for c in found.costs:
        code, second = c.bits_per_code.text(3), c.bits_per_second.text(1)
        rows.append((c.label, code, second, f"{2**c.bits_per_code.value:,.1f}"))
    page.table(["codes", "bits per code", "bits per second", "perplexity"], rows, _RATES)
    if found.saved is not None:
        saved = found.saved.text(1).replace("\n", " ")
        page.text(f"The prior saves {saved} % of the bits of the training codes' unigram.")
    if report.can_draw():
        _draw(page, found)


def _draw(page: report.Page, found: Summary) -> None:
    frame, surprise = 1 / found.frame_rate, found.surprise
    nominal, many = float(np.mean(found.nominal)), len(found.nominal) > 1
    page.heading("Which code follows which")
    share = f"The {len(found.follow.codes)} commonest training codes"
    row = " of the first codebook" if many else ""
    caption = f"{share}{row}, {100 * found.follow.share:.0f} % of all. {_FOLLOWS}"
    page.figure(prior_figures.follows(found.follow), caption)
    caption = f"How long training codes{row} last without changing."
    page.figure(prior_figures.durations(found.follow.runs, frame), caption)
    page.heading("Surprise per code")
    of = f"{surprise.utterances} held-out utterances"
    page.figure(
        prior_figures.spread(surprise, nominal),
        f"How many codes are how surprising, in {of}; repeats of the code before are cheap.",
    )
    page.figure(
        prior_figures.positions(surprise, frame),
        f"Mean surprise by how much of the utterance went before, in {of}. The first frames are "
        f"often silence.",
    )
    if surprise.examples:
        ids = ", ".join(e.id for e in surprise.examples)
        caption = f"Surprise over time, one utterance below the other: {ids}."
        page.figure(prior_figures.over_time(surprise, frame), caption)


def add_pieces(page: report.Page, pieces: Sequence[Piece], held_out: float | None) -> None:
    """Add a card of each piece.

    Args:
        page: to add to.
        pieces: short ones come first.
        held_out: bits per code of held-out real speech, to compare with; of the run's own prior,
            so pieces that several priors drew are not compared.
    """
    if not pieces:
        return
    if held_out is not None and any(p.priors == 1 for p in pieces):
        page.text(f"Real speech of held-out speakers costs {held_out:.2f} bits per code.")
    first = pieces[0]
    span, mark = 1000 * first.hop_length / first.sample_rate, _MARKS[len(first.bits) > 1]
    page.text(_STRIP.format(milliseconds=span, mark=mark), note=True)
    groups: dict[tuple[bool, int], list[report.Card]] = {}
    for p in pieces:
        long = p.x.shape[-1] > prior_figures.LONG * p.sample_rate
        groups.setdefault((long, p.sample_rate), []).append(_card(p, held_out))
    for long, rate in sorted(groups):
        page.cards(groups[long, rate], rate, columns=1 if long else 2)


def _card(piece: Piece, held_out: float | None) -> report.Card:
    frame = piece.hop_length / piece.sample_rate
    figure = None
    if report.can_draw():
        figure = prior_figures.over_spectrogram(
            piece.x, piece.sample_rate, piece.bits, frame, piece.prompt
        )
    cost = samples.costs(piece)
    if piece.priors > 1:  # real speech was scored by one of them, of its part of the codes
        held_out = None
    real = "" if held_out is None else f" (held-out real speech: {held_out:.2f})"
    about = f"; {piece.text}" if piece.text else ""
    return report.Card(
        title=piece.title,
        text=f"{cost}{real}{about}",
        alt=f"Surprise per code over the mel spectrogram of {piece.title}: {cost}",
        figure=figure,
        sounds={f"{piece.x.shape[-1] / piece.sample_rate:.2f} s": piece.x},
    )
