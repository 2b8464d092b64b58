"""A folder of graphs, which appears whole and only if they do what the model does."""

import json
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from audiovq.errors import ConfigError
from audiovq.export import check, manifest, parts, programs
from audiovq.export.graphs import Graph
from audiovq.files import STALE_MARK, atomic_write

if TYPE_CHECKING:
    from audiovq.autoencoder import Autoencoder

FORMATS = ("onnx", "torch")


def export(
    model: "Autoencoder",
    folder: str | Path,
    wanted: parts.Wanted = parts.ALL,
    *,
    formats: tuple[str, ...] = FORMATS,
    opset: int | None = None,
    recordings: Iterable[Float[Tensor, "1 1 _"]] = (),
    speed_rounds: int = 0,
    force: bool = False,
) -> list[check.Agreement]:
    """Write a model's graphs, `export.json` and `README.md` into a new folder, and check them.

    Args:
        model: on the CPU, in eval mode.
        folder: to make; its parent is made if missing.
        wanted: parts of the model.
        formats: `onnx`, and `torch` for torch.export. Graphs of streams are written as ONNX only.
        opset: of ONNX's operators; None: torch's choice.
        recordings: to compare on besides noise, at the model's rate.
        speed_rounds: of timing against PyTorch; 0: none.
        force: replace an earlier export that is there.

    Returns:
        how the written graphs compare with the model.

    Raises:
        ConfigError: a package is missing, something cannot be exported, a graph differs from the
            model by more than rounding, or something else is in the folder.
    """
    if not formats or not set(formats) <= set(FORMATS):
        raise ConfigError(
            f"format: {', '.join(formats) or 'nothing'} given; onnx, torch or both, as in "
            f"onnx,torch, are accepted"
        )
    if "onnx" in formats:
        programs.check_onnx(opset)
    settings = {**vars(wanted), "formats": formats, "opset": opset}
    graphs = parts.of(model, wanted)
    with _new_folder(Path(folder), force=force) as made:
        facts = {"fingerprint": model.fingerprint()}
        files = {g.name: _write(g, made, formats, opset, facts) for g in graphs}
        written = [g for g in graphs if files[g.name]]
        about = manifest.manifest(model, written, files, settings)
        found = check.check(
            model,
            made,
            about,
            (x for some in (check.noise(model), recordings) for x in some),
            speed_rounds=speed_rounds,
        )
        atomic_write(made / manifest.MANIFEST, json.dumps(about, indent=2) + "\n")
        atomic_write(made / manifest.README, manifest.readme(about))
    return found


def _write(
    graph: Graph,
    folder: Path,
    formats: tuple[str, ...],
    opset: int | None,
    facts: dict[str, str],
) -> dict[str, str]:
    """Write a graph in every format that it has; return the names of the files."""
    files = {}
    if "onnx" not in formats and graph.states:
        return {}
    if "onnx" in formats:
        programs.check_size(graph)
    program = programs.trace(graph)
    if "onnx" in formats:
        files["onnx"] = f"{graph.name}.onnx"
        atomic_write(folder / files["onnx"], programs.to_onnx(graph, program, opset, facts))
    if "torch" in formats and not graph.states:
        files["torch"] = f"{graph.name}.pt2"
        atomic_write(folder / files["torch"], programs.to_torch(program))
    return files


@contextmanager
def _new_folder(folder: Path, *, force: bool) -> Iterator[Path]:
    """Give a temporary folder that becomes `folder` in the end, or vanishes after an error."""
    earlier = (folder / manifest.MANIFEST).is_file()
    there = folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))
    if there and not (earlier and force):
        what = "holds an export; add --force to replace it" if earlier else "holds something else"
        raise ConfigError(f"{folder} {what}{'' if earlier else ': choose another folder with -o'}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    _clear(folder)
    made = _beside(folder)
    made.mkdir()
    try:
        yield made
        if folder.exists():
            folder.replace(_beside(folder))  # as a whole: at no moment is there half of it
        made.replace(folder)
    finally:
        _clear(folder)


def _beside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}{STALE_MARK}{secrets.token_hex(6)}")


def _clear(folder: Path) -> None:
    for stale in folder.parent.glob(f"{folder.name}{STALE_MARK}*"):
        shutil.rmtree(stale, ignore_errors=True)
