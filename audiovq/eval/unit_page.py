"""The page of an evaluation of units: figures, pictures, and units to listen to."""

from pathlib import Path

from audiovq import report
from audiovq.data.manifest import Manifest
from audiovq.errors import AudioError
from audiovq.eval import unit_cards, unit_figures
from audiovq.eval.boundaries import segments
from audiovq.eval.joint import join
from audiovq.eval.labelled import Corpus
from audiovq.eval.unit_cards import UnitCard
from audiovq.eval.unit_rates import run_lengths
from audiovq.eval.unit_report import Result
from audiovq.eval.unit_values import METRICS

_READING = (
    "Purity and PNMI grow with the number of codes and by the pace of speech alone, so they mean "
    "something only beside the shifted figure, which is chance, and beside k-means on MFCC of the "
    "same size, which is what signal processing gives without learning. The accuracy for a new "
    "speaker is the figure to trust: nothing was fitted on the speaker it is scored on. "
    "Differences within the intervals are no differences."
)
_MARKS = (
    "In brackets: the 95 % interval. In parentheses: smallest and largest over speakers, or over "
    "splits or draws. Marked: the best, whether or not the intervals overlap."
)
_PICTURE = (
    "Each column is a unit and sums to one; dark is a unit that stands for one phone. Units are "
    "sorted by their commonest phone: good units make a clean staircase, and a smeared column is a "
    "unit that says little."
)
_CARDS = (
    "The units that tell most about the phone, of different phones first. The spectrogram is the "
    "average over up to 60 occurrences, between the dotted lines the unit's own frame; "
    "the sounds are of different speakers where possible, with 0.1 s before and after."
)
_DURATIONS = "How long units last without changing, and how long phones do."


def write(path: Path, result: Result, corpus: Corpus, manifest: Manifest, *, seed: int = 0) -> None:
    """Write the page.

    Without matplotlib it has no pictures; without an alignment, no unit has a phone to show; where
    a recording cannot be read, there are no cards.

    Args:
        path: the HTML file.
        result: the figures.
        corpus: the utterances behind the first report.
        manifest: where their audio is.
        seed: of the choice of examples.
    """
    page = report.Page(f"Units: {result.units.label}", "evaluated by audiovq")
    page.heading("Figures")
    page.table(result.header(), result.rows("\n"), _MARKS, result.best())
    page.text(_READING)
    for line in result.about():
        page.text(line, note=True)
    if corpus.aligned and report.can_draw():
        _pictures(page, corpus, manifest, seed)
    page.heading("What the figures mean")
    shown = dict.fromkeys(f.name for r in result.reports for f in r.figures)
    page.facts({METRICS[n].label: f"{METRICS[n].definition}." for n in METRICS if n in shown})
    page.write(path)


def _pictures(page: report.Page, corpus: Corpus, manifest: Manifest, seed: int) -> None:
    joint = join(corpus).labelled()
    if not joint.phones.size:
        return
    page.heading("Units by phone")
    page.figure(unit_figures.units_by_phone(joint.counts(), joint.names), _PICTURE)
    page.heading("Durations")
    spans = {
        "units": [n * corpus.coded.hop for u in corpus.aligned for n in run_lengths(u.units)],
        "phones": [
            end - start
            for u in corpus.aligned
            for start, end, label in segments(u, dict(corpus.folding))
            if label is not None
        ],
    }
    page.figure(unit_figures.durations(spans, corpus.coded.hop), _DURATIONS)
    page.heading("Unit cards")
    try:
        cards = unit_cards.make(corpus, manifest, seed=seed)
    except AudioError as error:  # the figures do not need the audio
        page.text(f"None: {error}", note=True)
        return
    page.text(_CARDS, note=True)
    page.cards([_card(c, corpus.coded.hop) for c in cards], corpus.coded.sample_rate)


def _card(card: UnitCard, hop: float) -> report.Card:
    shares = ", ".join(f"{p} {100 * s:.0f} %" for p, s in list(card.phones.items())[:4])
    return report.Card(
        title=f"Unit {card.code}: {next(iter(card.phones), '?')}",
        text=f"{shares} ({card.frames:,} frames, {1000 * card.bits:.0f} millibits)",
        alt=f"Average log-mel spectrogram around unit {card.code}",
        figure=unit_figures.average(card.level, unit_cards.AROUND, hop, card.kilohertz),
        sounds=card.sounds,
    )
