"""The command that says what codes cost under a prior, and what that says of the speech."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audiovq.commands._app import (
    Device,
    GivenCodes,
    GivenFeatures,
    Json,
    Plugin,
    SplitName,
    Threads,
    app,
    check_folder,
    load_model,
    print_json,
    set_threads,
)
from audiovq.commands._scored import Asked, Scored, load_all, naming
from audiovq.errors import ConfigError

if TYPE_CHECKING:
    from audiovq.eval.likelihood_bound import Speech
    from audiovq.eval.prior_compare import Comparison
    from audiovq.eval.prior_score import Score
    from audiovq.units.reading import Units
    from audiovq.units.sequences import CodeSequences

FIT_UTTERANCES = 500  # that a scale is fitted on at most, spread over the split

EXPLAINED = """\
bound on the log-likelihood of the waveform x: log p(x) >= log p(x | codes) + log P(codes)
x is continuous: a density may exceed 1, so its logarithm may be of either sign; higher is better.
The cost is what a coder of x rounded to 16 bits would need: 15 minus the bound's bits per sample.
Around silence nothing is coded; a decoder trained on spectra, not samples, may do no better.\
"""

PriorArgument = Annotated[
    Path,
    typer.Argument(
        help="a prior's folder, a run folder that holds one as `model/`, or a name from "
        "`audiovq ls models`"
    ),
]


class Likelihood(StrEnum):
    """Densities around the decoded waveform."""

    gaussian = "gaussian"
    laplace = "laplace"


class FitSplit(StrEnum):
    """Splits that a scale may be fitted on."""

    train = "train"
    validation = "validation"


@app.command()
def score(
    prior: PriorArgument,
    units: Annotated[Path, typer.Argument(help="a folder made by `audiovq extract`")],
    split: Annotated[SplitName, typer.Option(help="which utterances")] = SplitName.test,
    beside: Annotated[
        list[Path], typer.Option(help="another prior, compared on the same codes (repeatable)")
    ] = [],  # noqa: B006
    codes: Annotated[
        Path | None,
        typer.Option(help="write the nats of every code: a file named *.jsonl or *.parquet"),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="what made the units, to bound the speech's likelihood")
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="the corpus that the units are of: for the bound, the page")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="folder for a page: surprise over the spectrogram of some recordings"),
    ] = None,
    likelihood: Annotated[
        Likelihood | None, typer.Option(help="density around the decoded waveform [both]")
    ] = None,
    fit_split: Annotated[
        FitSplit, typer.Option(help="split that the density's scale is fitted on")
    ] = FitSplit.validation,
    each: Annotated[bool, typer.Option("--each", help="list every utterance, too")] = False,
    given_codes: GivenCodes = "",
    given_features: GivenFeatures = "",
    threads: Threads = 1,
    as_json: Json = False,
    device: Device = "cpu",
    plugin: Plugin = [],  # noqa: B006
) -> None:
    """Say what codes cost under a prior: nats, bits per code, bits per second, perplexity.

    Beside it what they cost without one: nominal, by the training codes' frequencies, by their
    own, and as runs of equal codes without and with durations. In brackets: 95 % intervals over
    speakers. --json holds every utterance, --codes every code.

    --beside puts other priors of the same codes next to it: paired differences, and what each
    saves against the unigram.

    --model and --manifest add the bound log p(x) >= log p(x | codes) + log P(codes), x the
    waveform: the first term is the log-density of x around what the model decodes, with one scale
    fitted on another split; the second is the prior's. x is continuous, so a density may exceed 1
    and its logarithm may be of either sign. Times the step of 16-bit samples it is a probability;
    minus its log2 compares with the bits per sample of a lossless coder.

    --report and --manifest make report.html in a folder, with recordings to hear.

    Example: audiovq score runs/wavenet/best units --beside runs/ngram
    """
    from audiovq.units import load as load_units
    from audiovq.units.given import open_folders

    set_threads(threads)
    _check_asked(model, manifest, report)
    if codes is not None:
        _check_codes(codes)
    if report is not None:
        check_folder(report)
    found = load_units(units)
    asked = Asked(found, split.value, open_folders(given_codes, given_features))
    scored = load_all([prior, *beside], asked, device, plugin)
    sequences = scored[0].sequences
    speech = None
    if model is not None and manifest is not None:
        autoencoder = load_model(model, device, plugin)
        speech = _speech(found, sequences, autoencoder, manifest, fit_split.value, likelihood)
    scores = _scores(scored, asked, codes)
    values, text = scores[0].to_dict(), [scores[0].table()]
    if each:
        text.append(scores[0].each())
    if beside:
        comparison = _compare(scored, scores)
        values["beside"] = comparison.to_dict()
        text.append(comparison.table())
    if speech is not None:
        bounds = speech.bounds(scores[0].nats, progress=True)
        values["bounds"] = [b.to_dict() for b in bounds]
        text += [EXPLAINED, *(b.table() for b in bounds)]
    if report is not None and manifest is not None:
        page = report / "report.html"
        _write_page(page, scored[0], manifest, scores[0])
        text.append(f"page: {page}")
    if as_json:
        print_json(values)
    else:
        print("\n\n".join(text))


def _check_asked(model: Path | None, manifest: Path | None, report: Path | None) -> None:
    """Refuse half of what the bound or the page needs."""
    if manifest is None and (model is not None or report is not None):
        what = "the bound (--model)" if model is not None else "the page (--report)"
        raise ConfigError(f"{what} needs --manifest, too: the corpus that the units are of")
    if manifest is not None and model is None and report is None:
        raise ConfigError("--manifest is for the bound (--model) or a page (--report): give one")


def _write_page(page: Path, scored: Scored, manifest: Path, score: "Score") -> None:
    """Write a page of some recordings, their codes' surprise over their spectrograms."""
    from audiovq.data import manifest as manifests
    from audiovq.eval import prior_page, samples

    pieces = samples.recordings(scored.trained, scored.sequences, manifests.read(manifest))
    page.parent.mkdir(parents=True, exist_ok=True)
    mean = score["prior"].bits_per_code.value
    prior_page.write(page, f"Surprise under {scored.path}", pieces, held_out=mean)


def _scores(scored: Sequence[Scored], asked: Asked, codes: Path | None) -> "list[Score]":
    """Score under each prior, the first one's codes into a file if there is to be one."""
    from audiovq.eval import prior_codes
    from audiovq.eval.prior_score import score as run

    found: list[Score] = []
    for s in scored:
        args = (s.trained, s.sequences, asked.split, asked.where)
        with naming(s.path):
            if codes is not None and not found:
                with prior_codes.writing(codes, s.sequences, s.trained.fingerprint()) as add:
                    found.append(run(*args, add))
            else:
                found.append(run(*args))
    return found


def _check_codes(path: Path) -> None:
    from audiovq.eval import prior_codes

    prior_codes.check(path)


def _compare(scored: Sequence[Scored], scores: "list[Score]") -> "Comparison":
    from audiovq.eval.prior_compare import compare

    counts = [not any(True for _ in s.trained.module.parameters()) for s in scored]
    return compare([str(s.path) for s in scored], scores, counts)


def _speech(
    units: "Units",
    sequences: "CodeSequences",
    model: Any,
    manifest: Path,
    fit_split: str,
    likelihood: Likelihood | None,
) -> "Speech":
    """Return what the bound is computed from, checked before any work is done."""
    if tuple(units.metadata.codebook_sizes) != tuple(sequences.metadata.codebook_sizes):
        raise ConfigError(
            "the bound needs a prior of all rows of the codes: this one models some of them"
        )
    if sequences.given is not None:
        raise ConfigError(
            "the bound needs a prior of codes alone: this one is given other codes or features, "
            "so what it says is no probability of the codes"
        )
    from audiovq.data import manifest as manifests
    from audiovq.eval.likelihood_bound import LIKELIHOODS, Speech
    from audiovq.units.sequences import read_split

    speech = Speech(
        model=model,
        manifest=manifests.read(manifest),
        sequences=sequences,
        fit=read_split(units, fit_split).spread(FIT_UTTERANCES),
        fit_split=fit_split,
        where=str(units.folder),
        likelihoods=LIKELIHOODS if likelihood is None else (likelihood.value,),
    )
    speech.check()
    return speech
