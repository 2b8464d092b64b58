"""The command that says what units are worth."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audiovq.commands._app import (
    Device,
    Json,
    ManifestArgument,
    Plugin,
    SplitName,
    Threads,
    app,
    set_threads,
)
from audiovq.errors import ConfigError
from audiovq.eval.unit_values import METRICS

if TYPE_CHECKING:
    from audiovq.data.manifest import Manifest
    from audiovq.eval.labelled import Corpus
    from audiovq.eval.unit_report import Result

PARTS = "rates phones boundaries per abx speaker verification words stability"

UnitsArgument = Annotated[Path, typer.Argument(help="a folder made by `audiovq extract`")]


def _figures() -> str:
    """Return what every figure means, for the end of the help."""
    entries = (f"{k}{f' ({m.unit})' if m.unit else ''}: {m.definition}" for k, m in METRICS.items())
    return "Figures:\n\n" + "\n\n".join(entries)


@app.command("evaluate-units", epilog=_figures())
def evaluate_units(
    units: UnitsArgument,
    manifest: ManifestArgument,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="folder for table.md, table.csv, table.json, report.html"),
    ] = None,
    beside: Annotated[
        list[Path], typer.Option(help="other units of the same corpus (repeatable)")
    ] = [],  # noqa: B006
    split: Annotated[SplitName, typer.Option(help="which records")] = SplitName.all,
    codebook: Annotated[
        int, typer.Option(min=0, help="row of the codes to look at, where there are several")
    ] = 0,
    fit_manifest: Annotated[
        Path | None,
        typer.Option(help="corpus whose training split MFCC k-means is fitted on [the manifest]"),
    ] = None,
    mfcc: Annotated[
        bool, typer.Option("--mfcc/--no-mfcc", help="k-means on MFCC of equal size beside it")
    ] = True,
    alignments: Annotated[
        Path | None,
        typer.Option(help="phone times: a .phn, TextGrid, CTM or RTTM file, or a folder of them"),
    ] = None,
    tier: Annotated[str, typer.Option(help="tier of the alignment that holds phones")] = "phones",
    stability: Annotated[
        bool, typer.Option("--stability", help="extract anew from changed speech; takes a while")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(help="what made the units, if it is no longer there; adds their stability"),
    ] = None,
    prior: Annotated[
        list[Path],
        typer.Option(
            help="a prior trained on codes of UNITS' model, or of one beside (repeatable)"
        ),
    ] = [],  # noqa: B006
    skip: Annotated[str, typer.Option(help=f"parts to leave out, with commas: {PARTS}")] = "",
    seed: Annotated[int, typer.Option(min=0, help="of every draw")] = 0,
    threads: Threads = 1,
    as_json: Json = False,
    device: Device = "cpu",
    plugin: Plugin = [],  # noqa: B006
) -> None:
    """Say what units are worth as phones, as a code, and what else is in them, with intervals.

    Everything that UNITS and MANIFEST allow is measured, and what is left out is said: phones,
    boundaries and ABX need an alignment, a speaker probe two speakers, word recognition few texts,
    the prior-coded bitrate a prior of the same codes (--prior), which has seen its training split.

    Example: audiovq evaluate-units units timit.jsonl -o units-report
    """
    from audiovq.data import alignments as aligned
    from audiovq.data import manifest as manifests
    from audiovq.eval.evaluate_units import Options
    from audiovq.eval.evaluate_units import evaluate_units as run
    from audiovq.prior import load as load_prior
    from audiovq.units import load
    from audiovq.units.sources import reopen

    set_threads(threads)
    options = Options(
        split=None if split == SplitName.all else split.value,
        codebook=codebook,
        tier=tier,
        skip=tuple(s.strip() for s in skip.split(",") if s.strip()),
        seed=seed,
        mfcc=mfcc,
        folder=None if out is None else out / "mfcc",
        progress=True,
    )
    options.check()
    if out is not None:
        _make(out)
    corpus = manifests.read(manifest)
    if alignments is not None:
        corpus = aligned.attach(corpus, alignments, tier)
    found = load(units)
    result, corpora = run(
        found,
        corpus,
        options=options,
        beside=[load(b) for b in beside],
        fit_manifest=None if fit_manifest is None else manifests.read(fit_manifest),
        coder=reopen(found, model, device=device, plugins=plugin) if stability or model else None,
        priors=[load_prior(p, plugin) for p in prior],
    )
    if out is not None:
        _write(out, result, corpora, corpus, seed)
    print(result.to_json() if as_json else result.table())


def _make(out: Path) -> None:
    """Make the folder before the work, so that what cannot be written is said first."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write to the folder {out}: {error.strerror}") from None


def _write(
    out: Path, result: "Result", corpora: "list[Corpus]", manifest: "Manifest", seed: int
) -> None:
    from audiovq.eval import unit_page

    result.write(out)
    unit_page.write(out / "report.html", result, corpora[0], manifest, seed=seed)
