"""Units in the formats that downstream models read."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from audiovq.commands._app import SplitName, app
from audiovq.errors import ConfigError


class PatternName(StrEnum):
    """How several codebooks are laid out."""

    parallel = "parallel"
    flatten = "flatten"
    delay = "delay"
    first = "first"


@app.command(name="export-units")
def export_units(
    units: Annotated[Path, typer.Argument(help="a folder of `audiovq extract`")],
    out: Annotated[Path, typer.Option("-o", "--out", help="folder to make")],
    format_name: Annotated[
        str,
        typer.Option(
            "--format",
            help="parquet (Hugging Face), npz, fairseq (.km, .tsv, dict), gslm (text), jsonl "
            "(fastabx, discophon) or webdataset (tar)",
        ),
    ],
    split: Annotated[SplitName, typer.Option(help="which utterances")] = SplitName.all,
    codebooks: Annotated[
        str, typer.Option(help="rows of codes, from 0, as in 0,1; none: all")
    ] = "",
    pattern: Annotated[
        PatternName,
        typer.Option(
            help="parallel: a stream per codebook; delay: each one frame later than the one "
            "before; flatten: one stream, frame by frame; first: the first codebook alone"
        ),
    ] = PatternName.parallel,
    deduplicate: Annotated[
        bool,
        typer.Option("--deduplicate", help="merge equal frames; durations (frames) are kept"),
    ] = False,
    offsets: Annotated[
        bool | None,
        typer.Option(
            "--offsets/--no-offsets",
            help="give every codebook ids of its own; default: with flatten only",
        ),
    ] = None,
    bos: Annotated[bool, typer.Option("--bos", help="start each sequence with the id bos")] = False,
    eos: Annotated[bool, typer.Option("--eos", help="end each sequence with the id eos")] = False,
    bpe: Annotated[
        str,
        typer.Option(
            help="unit BPE: a number of ids, learned from the split train and kept as bpe.model; "
            "or a bpe.model to apply"
        ),
    ] = "",
    manifest: Annotated[
        Path | None, typer.Option(help="the units' manifest, for the paths in fairseq's .tsv")
    ] = None,
    times: Annotated[
        bool, typer.Option("--times", help="also say when each token starts and ends (s)")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="replace an earlier export in the folder")
    ] = False,
) -> None:
    """Write units in another format, a file per split, and export.json, which describes them.

    Ids of codes come first, then pad, bos and eos; with BPE 0 to 3 are unk, pad, bos, eos.

    Example: audiovq export-units units -o lm --format gslm --codebooks 0 --bpe 2000
    """
    from audiovq import units as stored
    from audiovq.config import parse
    from audiovq.data import manifest as manifests
    from audiovq.units.export import export
    from audiovq.units.tokens import TokenConfig

    about = export(
        stored.load(units),
        out,
        format_name,
        tokens=parse(
            TokenConfig,
            {
                "codebooks": _numbers(codebooks),
                "pattern": pattern.value,
                "deduplicate": deduplicate,
                "offsets": offsets,
                "bos": bos,
                "eos": eos,
            },
            "export-units",
        ),
        bpe=_bpe(bpe),
        split=None if split == SplitName.all else split.value,
        manifest=None if manifest is None else manifests.read(manifest),
        times=times,
        force=force,
        progress=True,
    )
    counts = ", ".join(f"{n} {name}" for name, n in about.splits.items())
    streams = "" if about.streams == 1 else f" in {about.streams} streams"
    merged = ", deduplicated" if about.tokens.deduplicate else ""
    print(
        f"{out}: {format_name}, {counts}; vocabulary of {about.vocabulary_size} ids"
        f"{streams}{', unit BPE' if about.bpe else ''}{merged}"
    )


def _numbers(text: str) -> tuple[int, ...] | None:
    try:
        return tuple(int(word) for word in text.split(",")) if text else None
    except ValueError:
        raise ConfigError(f"--codebooks takes numbers, as in 0,1; {text!r} given") from None


def _bpe(text: str) -> Any:
    from audiovq.units.bpe import UnitBPE

    if not text or text.isdecimal():
        return int(text) if text else None
    return UnitBPE.load(text)
