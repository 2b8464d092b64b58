"""The app, and what several commands share: arguments, options, loading a model."""

import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from audiovq.errors import ConfigError

app = typer.Typer(
    name="audiovq",
    help="Discrete codes from speech: prepare a corpus, train, listen, extract, evaluate.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ModelArgument = Annotated[
    Path,
    typer.Argument(
        help="a model folder, a run folder that holds one as `model/`, or a name from "
        "`audiovq ls models`"
    ),
]
ManifestArgument = Annotated[Path, typer.Argument(help="a manifest made by `audiovq prepare`")]
OutWav = Annotated[
    Path,
    typer.Option("-o", "--out", help="folder for the wav files, or FILE.wav for one recording"),
]
Threads = Annotated[int, typer.Option(min=1, max=256, help="CPU threads")]
Json = Annotated[bool, typer.Option("--json", help="print JSON on stdout")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")]
Plugin = Annotated[
    list[str], typer.Option(help="dotted name of a plug-in component you trust (repeatable)")
]

GivenCodes = Annotated[
    str, typer.Option(metavar="DIR", help="units whose codes the prior is given, if it is any")
]
GivenFeatures = Annotated[
    str, typer.Option(metavar="DIR", help="units whose vectors the prior is given, if it is any")
]


class SplitName(StrEnum):
    """Splits of a manifest."""

    train = "train"
    validation = "validation"
    test = "test"
    all = "all"


def load_model(path: Path, device: str, plugins: list[str]) -> Any:
    """Return a model on its device."""
    from audiovq import release

    chosen = check_device(device)
    return release.load(path, plugins).to(chosen)


def check_device(device: str) -> Any:
    """Return the device of that name."""
    from audiovq.train.run import pick_device

    try:
        return pick_device(device)
    except ConfigError as error:  # the check is shared with training, where it is a setting
        raise ConfigError(str(error).replace("train.device=", "--device ")) from None


def check_folder(folder: Path) -> None:
    """Look whether a folder is there or can be made, before the work whose result it is to hold."""
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not there.is_dir():
        raise ConfigError(f"{there} is a file, so nothing can be written in {folder}")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"nothing may be written in {there}; give another folder")


def set_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def print_json(value: Any) -> None:
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
    print()
