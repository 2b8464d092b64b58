"""The command that writes a model as graphs for other runtimes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from audiovq.commands._app import (
    ModelArgument,
    Plugin,
    Threads,
    app,
    check_folder,
    load_model,
    set_threads,
)

_LONGEST = 60.0  # seconds of a recording that are compared


@app.command()
def export(
    model: ModelArgument,
    out: Annotated[Path, typer.Option("-o", "--out", help="folder to make")],
    what: Annotated[str, typer.Option(help="encoder, decoder or both")] = "encoder,decoder",
    format_names: Annotated[
        str,
        typer.Option("--format", help="onnx, torch (torch.export, .pt2) or both"),
    ] = "onnx,torch",
    codebooks: Annotated[
        int | None, typer.Option(min=1, help="the first so many rows of a residual model; all")
    ] = None,
    speaker: Annotated[
        str | None,
        typer.Option(
            help="who is heard, of a model with speakers; without it the decoder has an input that "
            "says it"
        ),
    ] = None,
    streaming: Annotated[
        bool,
        typer.Option(
            help="of a causal model also the graphs of one block, with states as inputs and outputs"
        ),
    ] = True,
    opset: Annotated[
        int | None, typer.Option(help="of ONNX's operators, 18 to 23 [torch's choice]")
    ] = None,
    check: Annotated[
        list[Path],
        typer.Option(
            help="recordings, or folders of them, to compare on besides noise (repeatable); of "
            "each the first minute"
        ),
    ] = [],  # noqa: B006  (typer copies it)
    speed: Annotated[bool, typer.Option(help="measure the speed beside PyTorch")] = True,
    force: Annotated[bool, typer.Option("--force", help="replace an earlier export")] = False,
    threads: Threads = 1,
    plugin: Plugin = [],  # noqa: B006
) -> None:
    """Write encoder, bottleneck and decoder as graphs that run without audiovq.

    OUT holds encoder.onnx (waveform to codes, or to the embedding of a continuous model),
    decoder.onnx, for any batch and length; for causal models encoder_stream.onnx and
    decoder_stream.onnx; encoder.pt2 and decoder.pt2 for torch.export.load; export.json with all
    names, shapes and rates; and README.md with an example. Each file is run and compared with the
    model before the folder appears. Needs audiovq[onnx].

    Example: audiovq export runs/vq -o graphs --check speech/
    """
    from audiovq.export.parts import Wanted
    from audiovq.export.streams import refusal
    from audiovq.export.write import export as write

    set_threads(threads)
    check_folder(out)
    loaded = load_model(model, "cpu", plugin)
    wanted = Wanted(_words(what), codebooks, speaker, streaming)
    files = _files(check)
    found = write(
        loaded,
        out,
        wanted,
        formats=_words(format_names),
        opset=opset,
        recordings=_heard(files, loaded),
        speed_rounds=5 if speed else 0,
        force=force,
    )
    print(f"compared on noise{f' and {len(files)} recordings' * bool(files)}")
    for agreement in found:
        print(out / str(agreement))
    for part in wanted.parts if streaming else ():
        if reason := refusal(loaded, part):
            typer.echo(f"note: no {part} for streams: {reason}", err=True)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _files(given: list[Path]) -> list[Path]:
    """Return recordings, and those in folders."""
    from audiovq import audio
    from audiovq.data.corpora._base import audio_files
    from audiovq.errors import AudioError

    files: list[Path] = []
    for path in given:
        if not path.is_dir():
            audio.probe(path)
            files.append(path)
            continue
        found = audio_files(path)
        if not found:
            raise AudioError(f"no wav, flac, ogg or mp3 file below {path}")
        files += found
    return files


def _heard(files: list[Path], model: Any) -> Iterator[Any]:
    """Yield the first minute of each recording."""
    from tqdm import tqdm

    from audiovq import audio

    for file in tqdm(files, desc="comparing", unit="file", disable=not files):
        info = audio.probe(file)
        samples = min(info.num_samples, int(_LONGEST * info.sample_rate))
        yield audio.load(file, model.sample_rate, num_samples=samples)
