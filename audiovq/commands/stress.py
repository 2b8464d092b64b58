"""The command that damages sound and codes."""

from pathlib import Path
from typing import Annotated

import typer

from audiovq.commands._app import (
    Device,
    Json,
    ManifestArgument,
    ModelArgument,
    SplitName,
    Threads,
    app,
    check_folder,
    set_threads,
)


@app.command()
def stress(
    model: ModelArgument,
    manifest: ManifestArgument,
    out: Annotated[Path, typer.Option("-o", "--out", help="folder of the figures")],
    prior: Annotated[
        str, typer.Option(help="prior of the model's codes, which conceals what is lost")
    ] = "",
    conditions: Annotated[
        str,
        typer.Option(
            help="names with commas between, or their beginnings, such as white,loss-40ms,bits; "
            "all (empty: all but some packets of 20 and 80 ms)"
        ),
    ] = "",
    split: Annotated[SplitName, typer.Option(help="which records")] = SplitName.test,
    max_utterances: Annotated[
        int, typer.Option(min=0, help="use that many, spread over the split; 0: all")
    ] = 32,
    quick: Annotated[bool, typer.Option("--quick", help="a first look: 3 recordings")] = False,
    seed: Annotated[int, typer.Option(min=0, help="of all draws, with a recording's id")] = 0,
    workers: Annotated[
        int, typer.Option(min=0, max=256, help="processes that score; 0: none but this")
    ] = 0,
    threads: Threads = 1,
    as_json: Json = False,
    device: Device = "cpu",
) -> None:
    """Damage sound and codes, and measure what is left of codes, units and reconstruction.

    Sound: white and pink noise, babble of other speakers of the manifest, clipping, reverberation,
    telephone band, G.711, MP3, Vorbis, Opus, level, tempo. Codes: lost packets, at random or in
    bursts, concealed by silence, the last code or a prior; flipped bits, of bare codes and of
    compressed files. Figures are of the same recordings, so differences are paired.
    OUT gets table.md, table.json, stress.png and the figures of each recording. The same command
    goes on where it stopped; conditions, recordings and a prior may be added. Of recordings over
    30 s the first 30 s are used.

    Example: audiovq stress runs/vq speech.jsonl -o stress/vq --prior runs/prior --workers 2
    """
    from audiovq import config as configs
    from audiovq import share

    check_folder(out)
    set_threads(threads)
    recipe = share.load_recipe("stress")
    given = {
        "model": str(model), "manifest": str(manifest), "dir": str(out), "prior": prior,
        "conditions": [w.strip() for w in conditions.split(",") if w.strip()],
        "split": None if split == SplitName.all else split.value,
        "max_utterances": max_utterances or None, "quick": quick, "seed": seed,
        "workers": workers, "device": device,
    }  # fmt: skip
    recipe.main(configs.parse(recipe.Config, given, "stress"))
    name = "table.json" if as_json else "table.md"
    print((out / name).read_text("utf-8"), end="")
