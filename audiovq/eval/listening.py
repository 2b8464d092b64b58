"""The page of an evaluation: figures, and a few utterances to look at and to listen to."""

from collections.abc import Mapping
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from audiovq import report
from audiovq.eval.comparison import Comparison, rate_text
from audiovq.eval.values import METRICS

SECONDS = 8.0  # of each utterance; a page carries its sounds

_MARKS = (
    "Below each figure: its 95 % interval, and n where not all utterances have one. Marked: the "
    "best, anchors aside, whether or not the intervals overlap; a figure without its rate says "
    "little, so compare systems at like rates."
)
_PAIRED = (
    "Mean difference over the same utterances, with its 95 % interval: one that includes 0 shows "
    "no difference. These intervals are narrower than the distance of two means, because the same "
    "speakers are heard by both."
)


def write(path: Path, found: Comparison) -> None:
    """Write the page; without matplotlib it has no pictures.

    Raises:
        OSError: it cannot be written.
    """
    first = found.reports[0]
    title = "Reconstruction: " + (first.label if len(found.reports) == 1 else "systems compared")
    data = first.data
    about = f"{data['utterances']} utterances, {data['speakers']} speakers, {data['split']} split"
    page = report.Page(title, f"{about}; evaluated by audiovq")
    page.heading("Figures")
    page.table(found.header(), found.rows(), _MARKS, found.best())
    if len(found.reports) > 1:
        page.heading(f"Differences from {first.label}")
        page.table(*found.difference_rows(), _PAIRED)
    if found.sounds:
        page.heading("Listen")
        for name, sounds in found.sounds.items():
            _utterance(page, found, name, sounds)
    page.heading("Everything measured")
    page.evaluations({_named(found, r.label): r for r in found.reports})
    page.heading("Protocol")
    versions = first.protocol.get("versions", {})
    page.facts(
        {
            **{k: str(v) for k, v in first.protocol.items() if k != "versions"},
            "versions": ", ".join(f"{k} {v}" for k, v in versions.items() if v),
            "manifest": f"{data['manifest']} ({data['manifest_fingerprint'][:12]})",
        }
    )
    page.write(path)


def _utterance(
    page: report.Page,
    found: Comparison,
    name: str,
    sounds: Mapping[str, Float[Tensor, "1 1 _"]],
) -> None:
    """Add one utterance: its scores, spectrograms and players, cut to `SECONDS`."""
    rate = found.reports[0].protocol["sample_rate"]
    cut = {
        _named(found, label): x[..., : round(SECONDS * rate)].float() for label, x in sounds.items()
    }
    page.text(f"Utterance {name}")
    if report.can_draw():
        page.figure(
            report.spectrograms(cut, rate, SECONDS),
            f"Mel spectrograms of {name}: the original and each system, down to 80 dB under the "
            f"loudest point.",
        )
    page.sounds({f"{k}{_scores(found, name, k)}": x for k, x in cut.items()}, rate)


def _named(found: Comparison, label: str) -> str:
    """Return a system's label with its rate; others as they are."""
    rates = {r.label: rate_text(r) for r in found.reports if r.rate is not None}
    return f"{label} \u00b7 {rates[label]} bit/s" if label in rates else label


def _scores(found: Comparison, utterance: str, named: str) -> str:
    """Return the scores of an utterance through a system, for its player's label."""
    for r in found.reports:
        if _named(found, r.label) != named:
            continue
        row = next(row for row in r.utterances if row["id"] == utterance)
        parts = [
            f"{METRICS[n].label} {row[n]:.{METRICS[n].digits}f}"
            for n in ("stoi", "pesq_wb")
            if row.get(n) is not None
        ]
        return f" ({', '.join(parts)})" if parts else ""
    return ""
