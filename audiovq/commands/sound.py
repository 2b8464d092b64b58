"""Commands that give sound."""

from pathlib import Path
from typing import Annotated, Any

import typer

from audiovq.commands._app import Device, ModelArgument, OutWav, Plugin, app, load_model
from audiovq.errors import ConfigError


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
    _pass_through(load_model(model, device, plugin), inputs, out, force=force)


@app.command()
def convert(
    model: ModelArgument,
    inputs: Annotated[
        list[Path] | None, typer.Argument(help="audio files, or folders of them")
    ] = None,
    speaker: Annotated[
        str | None, typer.Option(help="who shall speak: one of --list-speakers")
    ] = None,
    out: OutWav = Path("converted"),
    list_speakers: Annotated[
        bool, typer.Option("--list-speakers", help="print the speakers the model knows, and stop")
    ] = False,
    force: Annotated[bool, typer.Option(help="replace files that are there")] = False,
    device: Device = "cpu",
    plugin: Plugin = [],  # noqa: B006
) -> None:
    """Say recordings in another voice: codes of whoever speaks, decoded as a speaker of training.

    Takes a model that was trained with speakers, such as autoencoder/vq_speaker. Files of any
    length are streamed.

    Example: audiovq convert runs/vq_speaker hello.wav --speaker p225 -o hello_p225.wav
    """
    loaded = load_model(model, device, plugin)
    if list_speakers:
        loaded.speaker_index([])  # refuses a model without speakers
        print("\n".join(loaded.speakers))
        return
    if speaker is None or not inputs:
        raise ConfigError("give recordings and --speaker NAME; --list-speakers prints the names")
    _pass_through(loaded, inputs, out, loaded.speaker_index([speaker]), force=force)


def _pass_through(
    model: Any, inputs: list[Path], out: Path, condition: Any = None, *, force: bool
) -> None:
    from tqdm import tqdm

    from audiovq.resynth import plan, resynthesise

    pairs = plan(inputs, out)
    there = [t for _, t in pairs if t.exists()]
    if there and not force:
        raise ConfigError(
            f"{there[0]} exists already ({len(there)} in all); add --force to replace"
        )
    for source, target in tqdm(pairs, desc="resynthesising", unit="file"):
        done = resynthesise(model, source, target, condition)
        print(f"{done.target}\t{done.seconds:.2f} s\t{done.speed:.1f} x real time")
