"""Commands that give sound."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audiovq.commands._app import Device, ModelArgument, OutWav, Plugin, app, load_model
from audiovq.errors import ConfigError

if TYPE_CHECKING:
    from audiovq.resynth import Resynthesis


@app.command()
def resynth(
    model: ModelArgument,
    inputs: Annotated[list[Path], typer.Argument(help="audio files, or folders of them")],
    out: OutWav = Path("resynth"),
    force: Annotated[bool, typer.Option(help="replace files that are there")] = False,
    device: Device = "cpu",
    plugin: Plugin = [],  # noqa: B006  (typer copies it)
) -> None:
    """Pass recordings through a model and write what comes out, as wav at the model's rate.

    Files of any length are streamed. Speed is in seconds of audio per second.

    Example: audiovq resynth runs/vq speech/ -o out
    """
    from audiovq.resynth import resynthesise

    work = partial(resynthesise, load_model(model, device, plugin))
    each_file(inputs, out, work, "resynthesising", force=force)


def each_file(
    inputs: list[Path],
    out: Path,
    work: "Callable[[Path, Path], Resynthesis]",
    what: str,
    *,
    force: bool,
) -> None:
    """Do some work from each file to its target, and say what became of it."""
    from tqdm import tqdm

    from audiovq.resynth import plan

    pairs = plan(inputs, out)
    there = [t for _, t in pairs if t.exists()]
    if there and not force:
        raise ConfigError(
            f"{there[0]} exists already ({len(there)} in all); add --force to replace"
        )
    for source, target in tqdm(pairs, desc=what, unit="file"):
        done = work(source, target)
        print(f"{done.target}\t{done.seconds:.2f} s\t{done.speed:.1f} x real time")
