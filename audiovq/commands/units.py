"""Commands on the codes of a corpus."""

from pathlib import Path
from typing import Annotated

import typer

from audiovq.commands._app import (
    Device,
    ManifestArgument,
    ModelArgument,
    Plugin,
    SplitName,
    Threads,
    app,
    load_model,
    set_threads,
)


@app.command()
def extract(
    model: ModelArgument,
    manifest: ManifestArgument,
    out: Annotated[Path, typer.Option("-o", "--out", help="folder for the codes")] = Path("units"),
    split: Annotated[SplitName, typer.Option(help="which records")] = SplitName.all,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact/--fast", help="codes that depend on nothing but audio and model, or sooner"
        ),
    ] = True,
    threads: Threads = 1,
    max_rejected: Annotated[
        float, typer.Option(min=0, max=1, help="share of recordings that may be unusable")
    ] = 0.01,
    device: Device = "cpu",
    plugin: Plugin = [],  # noqa: B006
) -> None:
    """Write the codes of a corpus: units.json and shards, read by `audiovq.units.load(DIR)`.

    Killed anywhere, the same command goes on and ends with the same bytes, with any --threads.

    Example: audiovq extract runs/vq speech.jsonl -o units
    """
    from audiovq.data import manifest as manifests
    from audiovq.units.extract import extract as run

    set_threads(1)  # each utterance is computed by one thread; --threads utterances at a time
    units = run(
        load_model(model, device, plugin),
        manifests.read(manifest),
        out,
        splits=None if split == SplitName.all else [split.value],
        exact=exact,
        threads=threads,
        max_rejected=max_rejected,
    )
    m = units.metadata
    print(
        f"{out}: {len(units)} utterances, {m.frame_rate:g} frames per second, "
        f"codebook sizes {m.codebook_sizes}, {m.bitrate:.0f} bit/s nominal"
    )
