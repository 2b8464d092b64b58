"""Commands that say what a model is worth."""

from pathlib import Path
from typing import Annotated

import typer

from audiovq.commands._app import (
    Device,
    Json,
    ManifestArgument,
    ModelArgument,
    Plugin,
    SplitName,
    Threads,
    app,
    load_model,
    set_threads,
)
from audiovq.errors import ConfigError
from audiovq.eval.edges import EDGES
from audiovq.eval.values import METRICS


def _figures() -> str:
    """Return what every figure means, for the end of the help."""
    entries = (f"{k} ({m.unit}): {m.definition}" for k, m in METRICS.items())
    return "Figures:\n\n" + "\n\n".join(entries) + f"\n\nAt the edges:\n\n{_edges()}"


def _edges() -> str:
    """Return what each measure gives for silence and the like, as paragraphs."""
    table, _, rest = EDGES.partition("\n\n")
    head, *lines = (
        [cell.strip() for cell in (line[:21], line[21:39], line[39:65], line[65:])]
        for line in table.splitlines()
    )
    rows = (
        f"{name}: "
        + "; ".join(f"{what} {cell}" for what, cell in zip(head[1:], cells, strict=True))
        for name, *cells in lines
    )
    return "\n\n".join([*rows, " ".join(rest.split())])


@app.command(epilog=_figures())
def evaluate(
    model: ModelArgument,
    manifest: ManifestArgument,
    split: Annotated[SplitName, typer.Option(help="which records")] = SplitName.test,
    max_utterances: Annotated[
        int | None, typer.Option(min=1, help="use that many, spread over the split")
    ] = None,
    codebooks: Annotated[
        str, typer.Option(help="rates of a residual model: 2,4,8 are its first so many codebooks")
    ] = "",
    beside: Annotated[
        list[str], typer.Option(help="another model, PATH or LABEL=PATH, compared (repeatable)")
    ] = [],  # noqa: B006
    anchors: Annotated[
        str,
        typer.Option(
            help="opus:KBIT_PER_S (from 6), codec2:MODE (c2enc, c2dec), pcm:BITS, resample:KHZ; "
            "as in opus:6,codec2:1300,pcm:16,resample:8"
        ),
    ] = "",
    metrics: Annotated[
        str, typer.Option(help="measures with commas between; all adds pitch, which is slow")
    ] = "",
    speaker_model: Annotated[
        str | None,
        typer.Option(help="hf:FOLDER, hf:OWNER/NAME (fetched) or a dotted name: x, rate -> vector"),
    ] = None,
    asr: Annotated[
        str | None,
        typer.Option(help="hf:FOLDER, hf:OWNER/NAME (fetched) or a dotted name: x, rate -> text"),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, max=256, help="processes that score; 0: none but this")
    ] = 0,
    page: Annotated[
        Path | None, typer.Option(help="also write an HTML page with sounds to this file")
    ] = None,
    examples: Annotated[
        int, typer.Option(min=0, max=50, help="utterances to listen to on the page")
    ] = 3,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="also write the JSON to this file")
    ] = None,
    snr_db: Annotated[
        float | None,
        typer.Option(min=-120, max=120, help="let the model hear Gaussian noise at this SNR (dB)"),
    ] = None,
    threads: Threads = 1,
    as_json: Json = False,
    device: Device = "cpu",
    plugin: Plugin = [],  # noqa: B006
) -> None:
    """Reconstruct held-out speech and measure it; every figure with a 95 % interval.

    With several systems (--codebooks, --beside, --anchors) also paired differences from the first.
    With --snr-db the input is noisy and the target clean: what a denoising model is for.
    Means are bootstrapped over speakers (over utterances when there are fewer than 5 speakers);
    usage, perplexity and entropy are jackknifed. Utterances of over 60 s are streamed.
    Nothing is aligned in time or level; resampling is soxr's HQ.

    Example: audiovq evaluate runs/rvq speech.jsonl --codebooks 2,4 --anchors opus:6 --page rvq.html
    """
    from audiovq.data import manifest as manifests
    from audiovq.data.corruption import CorruptionConfig
    from audiovq.eval import ask, listening
    from audiovq.eval.evaluate import evaluate_systems
    from audiovq.files import atomic_write

    set_threads(threads)
    for path in (out, page):  # said before the work
        if path is not None and (path.is_dir() or not path.parent.is_dir()):
            raise ConfigError(f"cannot write {path}: give a file in a folder that exists")
    result = evaluate_systems(
        ask.systems(
            lambda path: load_model(path, device, plugin),
            model,
            codebooks=codebooks,
            beside=beside,
            anchor_names=anchors,
        ),
        manifests.read(manifest),
        split=None if split == SplitName.all else split.value,
        metrics=ask.measures(metrics),
        max_utterances=max_utterances,
        corruption=None
        if snr_db is None
        else CorruptionConfig(gaussian=1.0, gaussian_snr_db=(snr_db, snr_db)),
        judges=ask.judges(speaker_model, asr, device),
        workers=workers,
        examples=0 if page is None else examples,
    )
    text = result.to_json()
    if out is not None:
        atomic_write(out, text + "\n")
    if page is not None:
        listening.write(page, result)
    print(text if as_json else result.table())
