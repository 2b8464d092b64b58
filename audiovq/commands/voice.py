"""Commands of voices."""

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audiovq.commands._app import (
    Device,
    Json,
    ManifestArgument,
    ModelArgument,
    OutWav,
    Plugin,
    SplitName,
    Threads,
    app,
    load_model,
    print_json,
    set_threads,
)
from audiovq.commands.sound import each_file
from audiovq.errors import ConfigError

if TYPE_CHECKING:
    from audiovq.autoencoder import Autoencoder


class Normalise(StrEnum):
    """What recordings are made alike in."""

    spectrum = "spectrum"
    level = "level"
    none = "none"


@app.command()
def convert(
    model: ModelArgument,
    inputs: Annotated[
        list[Path] | None, typer.Argument(help="audio files, or folders of them")
    ] = None,
    speaker: Annotated[
        str | None, typer.Option(help="who shall speak: one of --list-speakers")
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="WAV",
            help="in place of --speaker: a recording of whoever shall speak, 1 s or more, better "
            "5 s; takes a model with a reference encoder (audiovq fit-reference)",
        ),
    ] = None,
    out: OutWav = Path("converted"),
    list_speakers: Annotated[
        bool, typer.Option("--list-speakers", help="print the speakers the model knows, and stop")
    ] = False,
    force: Annotated[bool, typer.Option(help="replace files that are there")] = False,
    device: Device = "cpu",
    plugin: Plugin = [],  # noqa: B006  (typer copies it)
) -> None:
    """Say recordings in another voice: codes of whoever speaks, decoded as somebody else.

    Takes a model that was trained with speakers, such as autoencoder/vq_voice. Files of any length
    are streamed, brought to one level and long-term spectrum, and given back as loud as they were.

    Example: audiovq convert runs/vq_voice hello.wav --speaker p225 -o hello_p225.wav
    """
    from audiovq.voice import convert_file

    loaded = load_model(model, device, plugin)
    if list_speakers:
        loaded.speaker_index([])  # refuses a model without speakers
        print("\n".join(loaded.speakers))
        return
    if (speaker is None) == (reference is None) or not inputs:
        raise ConfigError(
            "give recordings and --speaker NAME (--list-speakers prints the names), or recordings "
            "and --reference WAV"
        )
    voice = loaded.speaker_index([speaker]) if reference is None else _heard(loaded, reference)
    work = partial(convert_file, loaded, condition=voice)
    each_file(inputs, out, work, "converting", force=force)


def _heard(model: "Autoencoder", reference: Path) -> Any:
    from audiovq import audio
    from audiovq.errors import AudioError
    from audiovq.voice import hear
    from audiovq.voice.reference import MAX_SECONDS

    rate = audio.probe(reference).sample_rate
    info = audio.probe(reference)
    most = min(info.num_samples, round(MAX_SECONDS * rate))
    try:
        return hear(model, audio.load(reference, num_samples=most), rate)
    except AudioError as error:
        raise AudioError(f"{reference}: {error}") from None


@app.command("fit-reference")
def fit_reference(
    model: ModelArgument,
    manifest: ManifestArgument,
    out: Annotated[Path, typer.Option("-o", "--out", help="folder for the model, not there yet")],
    split: Annotated[SplitName, typer.Option(help="which records")] = SplitName.train,
    threads: Threads = 1,
    plugin: Plugin = [],  # noqa: B006
) -> None:
    """Give a model that knows speakers an encoder that hears a voice from a recording.

    Its last layer is fitted, in one go, to the model's table of speakers, on recordings of them:
    give the training corpus. Speakers who are not in it are placed among those that are.

    Example: audiovq fit-reference runs/vq_voice speech.jsonl -o runs/vq_voice_heard
    """
    from audiovq.data import manifest as manifests
    from audiovq.voice import fit_reference as fit

    set_threads(threads)
    if out.exists():
        raise ConfigError(f"{out} exists already; give a folder that does not, for the new model")
    chosen = split.value if split != SplitName.all else None
    fit(load_model(model, "cpu", plugin), manifests.read(manifest), split=chosen).save(out)
    print(out)


@app.command("evaluate-voice")
def evaluate_voice(
    model: ModelArgument,
    manifest: ManifestArgument,
    split: Annotated[SplitName, typer.Option(help="which records to convert")] = SplitName.test,
    fit_split: Annotated[
        SplitName,
        typer.Option(help="which records of the same speakers the classifier learns from"),
    ] = SplitName.train,
    by_reference: Annotated[
        bool,
        typer.Option(
            "--by-reference",
            help="take voices from each speaker's longest record of --fit-split, not the table",
        ),
    ] = False,
    groups: Annotated[
        Path | None,
        typer.Option(help="a text file, a line each: speaker, white space, group (such as F or M)"),
    ] = None,
    labelled: Annotated[
        Path | None,
        typer.Option(help="manifest with phone times, from which what is said is judged"),
    ] = None,
    most: Annotated[
        int | None, typer.Option(min=1, help="records of each speaker that are converted")
    ] = None,
    normalise: Annotated[
        Normalise, typer.Option(help="of recordings, before they are encoded")
    ] = Normalise.spectrum,
    threads: Threads = 1,
    as_json: Json = False,
    device: Device = "cpu",
    plugin: Plugin = [],  # noqa: B006
) -> None:
    """Say whether conversion works: whose voice is heard afterwards, and whether the same is said.

    Every speaker's records are converted to all others'. A classifier of MFCC frames that learned
    from other records of these speakers says who is heard; one that learned from labelled speech
    (--labelled) says which phones. Both stand beside their ceilings. The speaker classifier hears
    the channel as well as the voice.

    Example: audiovq evaluate-voice runs/vq_voice speech.jsonl --labelled timit.jsonl
    """
    from audiovq.data import manifest as manifests
    from audiovq.voice.evaluate import Options
    from audiovq.voice.evaluate import evaluate_voice as run

    set_threads(threads)
    options = Options(
        test=split.value,
        fit=fit_split.value,
        by_reference=by_reference,
        groups=None if groups is None else _groups(groups),
        labelled=None if labelled is None else manifests.read(labelled),
        most=most,
        how=normalise.value,
        progress=True,
    )
    report = run(load_model(model, device, plugin), manifests.read(manifest), options)
    if as_json:
        print_json(report.to_dict())
    else:
        print(report.table())


def _groups(path: Path) -> dict[str, str]:
    try:
        rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the groups in {path}: {error}") from None
    wrong = [i for i, row in enumerate(rows, 1) if row and len(row) != 2]
    if wrong:
        raise ConfigError(
            f"{path}, line {wrong[0]}: a speaker and a group are accepted, such as 19 F"
        )
    return {row[0]: row[1] for row in rows if row}
