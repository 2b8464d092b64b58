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
from audiovq.eval.values import METRICS


def _figures() -> str:
    """Return what every figure means, for the end of the help."""
    entries = (f"{k} ({m.unit}): {m.definition}" for k, m in METRICS.items())
    return "Figures:\n\n" + "\n\n".join(entries)


@app.command(epilog=_figures())
def evaluate(
    model: ModelArgument,
    manifest: ManifestArgument,
    split: Annotated[SplitName, typer.Option(help="which records")] = SplitName.test,
    max_utterances: Annotated[
        int | None, typer.Option(min=1, help="use that many, spread over the split")
    ] = None,
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

    With --snr-db the input is noisy and the target clean: what a denoising model is for.
    Means are bootstrapped over speakers (over utterances when there are fewer than 5 speakers);
    usage, perplexity and entropy are jackknifed. Utterances of over 60 s are streamed.

    Example: audiovq evaluate runs/vq speech.jsonl --json > vq.json
    """
    from audiovq.data import manifest as manifests
    from audiovq.data.corruption import CorruptionConfig
    from audiovq.eval.evaluate import evaluate as run
    from audiovq.files import atomic_write

    set_threads(threads)
    if out is not None and (out.is_dir() or not out.parent.is_dir()):  # said before the work
        raise ConfigError(f"cannot write {out}: give a file in a folder that exists")
    result = run(
        load_model(model, device, plugin),
        manifests.read(manifest),
        split=None if split == SplitName.all else split.value,
        max_utterances=max_utterances,
        corruption=None
        if snr_db is None
        else CorruptionConfig(gaussian=1.0, gaussian_snr_db=(snr_db, snr_db)),
    )
    text = result.to_json()
    if out is not None:
        atomic_write(out, text + "\n")
    print(text if as_json else result.table())
