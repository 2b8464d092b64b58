"""Commands that write speech as compressed files, and read them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from audiovq.commands._app import (
    Device,
    Json,
    Plugin,
    Threads,
    app,
    check_folder,
    load_model,
    print_json,
    set_threads,
)
from audiovq.errors import ConfigError

_MODEL = typer.Option(
    help="folder of the model of the codes, a run folder that holds it, or a name from "
    "`audiovq ls models`"
)
PriorOption = Annotated[
    Path | None,
    typer.Option(
        help="a prior's folder, a run folder that holds one as `model/`, or a name from "
        "`audiovq ls models`"
    ),
]
Force = Annotated[bool, typer.Option(help="replace a file that is there")]


@app.command()
def encode(
    source: Annotated[Path, typer.Argument(metavar="IN", help="an audio file")],
    out: Annotated[Path, typer.Argument(metavar="OUT.avq", help="the compressed file")],
    model: Annotated[Path, _MODEL],
    prior: PriorOption = None,
    codebooks: Annotated[
        int | None, typer.Option(min=1, help="the first so many rows of a residual model; all")
    ] = None,
    block: Annotated[
        float, typer.Option(help="seconds per block; each can be read alone, up to 600")
    ] = 60.0,
    force: Force = False,
    threads: Threads = 1,
    device: Device = "cpu",
    plugin: Plugin = [],  # noqa: B006  (typer copies it)
) -> None:
    """Compress a recording to the codes of a model, and with a prior to fewer bits.

    Reading the file takes the same model and the same prior. Recordings of any length are
    streamed. Without a prior the codes are bit-packed.

    Example: audiovq encode speech.wav speech.avq --model runs/vq --prior runs/prior/best
    """
    from audiovq import audio
    from audiovq.coding import compress_blocks
    from audiovq.files import atomic_write

    set_threads(threads)
    if out.suffix.lower() != ".avq":
        raise ConfigError(f"{out} is no name of a compressed file: give one that ends in .avq")
    audio.probe(source)
    _check_target(source, out, force)
    loaded, trained = _load(model, prior, device, plugin)
    heard = (x.to(device) for x in audio.blocks(source, loaded.sample_rate))
    data = compress_blocks(loaded, heard, trained, codebooks=codebooks, block_seconds=block)
    out.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(out, data)
    print(_line(out, data, loaded))


@app.command()
def decode(
    source: Annotated[Path, typer.Argument(metavar="IN.avq", help="a compressed file")],
    out: Annotated[
        Path | None, typer.Argument(metavar="OUT.wav", help="the sound; .flac, .ogg, .mp3 too")
    ] = None,
    model: Annotated[Path | None, _MODEL] = None,
    prior: PriorOption = None,
    start: Annotated[float, typer.Option(help="begin of an excerpt (s)")] = 0.0,
    end: Annotated[float | None, typer.Option(help="end of an excerpt (s); of the file")] = None,
    speaker: Annotated[
        str | None, typer.Option(help="who shall speak, if the model was trained with speakers")
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="say what the file states of itself, and stop")
    ] = False,
    as_json: Json = False,
    max_hours: Annotated[
        float, typer.Option(min=0.0, help="refuse a file that claims more audio (h)")
    ] = 24.0,
    force: Force = False,
    threads: Threads = 1,
    device: Device = "cpu",
    plugin: Plugin = [],  # noqa: B006
) -> None:
    """Read a compressed file of `audiovq encode` back as sound, or an excerpt of it.

    An excerpt reads only the blocks it depends on, and equals that part of the whole. Damage is an
    error, never other sound. --show needs no model, and looks at header and sizes alone.

    Example: audiovq decode speech.avq speech.wav --model runs/vq --prior runs/prior/best
    """
    from audiovq import audio
    from audiovq.coding import Container
    from audiovq.coding.avq import sound

    set_threads(threads)
    with Container(source) as container:
        if show:
            _show(container, as_json)
            return
        if out is None:
            raise ConfigError("give a file to write, as OUT.wav; or --show to look at the file")
        _check_target(source, out, force)
        loaded, trained = _load(model, prior, device, plugin)
        first, number = _excerpt(container, start, end)
        voice = None if speaker is None else loaded.speaker_index([speaker])
        parts = sound(
            container, loaded, trained, start=first, num_samples=number, condition=voice,
            max_seconds=3600 * max_hours,
        )  # fmt: skip
        out.parent.mkdir(parents=True, exist_ok=True)
        subtype = "PCM_16" if out.suffix.lower() == ".wav" else None
        written = audio.save_blocks(out, (x.cpu() for x in parts), loaded.sample_rate, subtype)
    print(f"{out}\t{written / loaded.sample_rate:.2f} s")


def _load(model: Path | None, prior: Path | None, device: str, plugin: list[str]) -> Any:
    """Return the model, and the prior or None."""
    if model is None:
        raise ConfigError("--model is missing: give the folder of the model that makes the codes")
    loaded = load_model(model, device, plugin)
    if prior is None:
        return loaded, None
    from audiovq.prior import load

    return loaded, load(prior, plugin)


def _check_target(source: Path, out: Path, force: bool) -> None:
    if out.is_dir():
        raise ConfigError(f"{out} is a folder; give the name of a file")
    if not out.exists():
        check_folder(out.parent)
        return
    if out.samefile(source):
        raise ConfigError(f"{out} is the input and would be lost: give another name")
    if not force:
        raise ConfigError(f"{out} exists already; add --force to replace it")


def _line(out: Path, data: bytes, model: Any) -> str:
    """Return what a compressed file cost, beside what it would without a prior."""
    import math

    from audiovq.coding.coders import packed_size
    from audiovq.coding.header import parse

    header = parse(data, str(out))
    sizes = model.codebook_sizes[: header.codebooks]
    nominal = model.frame_rate * sum(map(math.log2, sizes))
    return "\t".join(
        (
            str(out),
            f"{header.seconds:.2f} s",
            f"{len(data):,} bytes",
            f"{8 * len(data) / header.seconds:.1f} bit/s",
            f"bit-packed {packed_size(model, header):,} bytes",
            f"nominal {nominal:.1f} bit/s",
        )
    )


def _excerpt(container: Any, start: float, end: float | None) -> tuple[int, int | None]:
    """Return the first sample of an excerpt, and how many it has."""
    rate, seconds = container.header.sample_rate, container.header.seconds
    stop = seconds if end is None else end
    if not 0.0 <= start < stop <= seconds + 1 / rate:
        raise ConfigError(
            f"{container.name} has {seconds:.3f} s; --start {start:g} --end {stop:g} given"
        )
    first = round(start * rate)
    return first, None if end is None else min(round(end * rate), container.header.length) - first


def _show(container: Any, as_json: bool) -> None:
    h = container.header
    facts = {
        "seconds": h.seconds,
        "sample_rate": h.sample_rate,
        "samples": h.length,
        "frame_rate": h.sample_rate / h.hop_length,
        "frames": h.frames,
        "codebooks": h.codebooks,
        "blocks": h.blocks,
        "block_seconds": h.block_frames * h.hop_length / h.sample_rate,
        "bytes": container.size,
        "bits_per_second": 8 * container.size / h.seconds,
        "model": h.model.hex(),
        "prior": h.prior.hex() if h.has_prior else None,
    }
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        shown = f"{value:g}" if isinstance(value, float) else value
        print(f"{name:<16}{'none: bit-packed' if value is None else shown}")
