"""A model as a folder that is safe to share: `model.safetensors` and `config.json`.

Nothing in it is executed: the weights are plain arrays (`audiovq.weights` is their format), and the
config may name shipped components only, unless the user names a plug-in. Header, keys and shapes
are compared with what the config implies before any weight is read. A `README.md` beside the two is
the model's card (`audiovq.cards`), which nothing depends on.
"""

import contextlib
import copy
import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from audiovq import config as configs
from audiovq import registry, shipped, weights
from audiovq.bottlenecks._ema import EMACodebook
from audiovq.errors import CheckpointError, ConfigError
from audiovq.files import atomic_write
from audiovq.nn.conv import fold_weight_norm

if TYPE_CHECKING:
    from audiovq.autoencoder import Autoencoder

FORMAT_VERSION = 1
WEIGHTS, CONFIG = "model.safetensors", "config.json"

# Version n -> function that turns a config.json of version n into one of version n + 1.
Migrations = Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]
_MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def plain_state(model: "Autoencoder") -> dict[str, Tensor]:
    """Return the model's tensors with weight norm folded in, by name."""
    if not any("parametrizations" in name for name in model.state_dict()):
        return dict(model.state_dict())
    with torch.device("meta"):
        shell = type(model)(model.config)
    shell.load_state_dict(model.state_dict(), assign=True)
    fold_weight_norm(shell)
    return dict(shell.state_dict())


def save(model: "Autoencoder", folder: Path, *, half: bool = False) -> None:
    """Write the model into a folder, each file in one step, config last.

    Args:
        model: in any state; it is not changed.
        folder: made if missing.
        half: store float16, in half the bytes. Weights are rounded, and codebooks that follow
            running counts keep the codes (rounded) and forget the counts. What is loaded is that
            model, with a fingerprint of its own, which saving it in either type does not change.

    Raises:
        CheckpointError: a weight is not finite, or too large for float16.
    """
    about = {
        "format": "audiovq.model",
        "format_version": FORMAT_VERSION,
        "model": model.config.model_dump(mode="json"),
    }
    write(plain_state(_settled(model) if half else model), about, folder, half=half)


def write(
    tensors: Mapping[str, Tensor],
    about: Mapping[str, Any],
    folder: Path,
    names: tuple[str, str] = (WEIGHTS, CONFIG),
    *,
    half: bool = False,
) -> None:
    """Write tensors and what they are into a folder, each file in one step, config last.

    Args:
        tensors: by name.
        about: what they are.
        folder: made if missing.
        names: of the two files.
        half: store what is float32 in float16.

    Raises:
        CheckpointError: a weight is not finite, or too large for float16.
    """
    data = weights.to_bytes(tensors, half=half)
    folder.mkdir(parents=True, exist_ok=True)
    arrays, config = names
    atomic_write(folder / arrays, data)
    atomic_write(folder / config, json.dumps(about, indent=2, ensure_ascii=False) + "\n")


def load(path: str | Path, plugins: Collection[str] = ()) -> "Autoencoder":
    """Load a model for use.

    Args:
        path: a model folder, a run folder that holds one as `model/`, or the name of a model that
            comes with audiovq (`audiovq.models()`). What is there as a path comes first.
        plugins: dotted names of plug-in components you trust, if the model uses any.

    Returns:
        the model in eval mode, on the CPU.

    Raises:
        CheckpointError: a file is missing, damaged, of another version, or does not fit.
    """
    from audiovq.autoencoder import Autoencoder, AutoencoderConfig  # noqa: PLC0415  (a circle)

    folder = find(Path(path))
    about = read_config(folder / CONFIG, "audiovq.model", FORMAT_VERSION, _MIGRATIONS)
    if not isinstance(about.get("model"), dict):
        raise CheckpointError(f"{folder / CONFIG} describes no model")
    try:
        with registry.plugins(plugins):
            config = configs.parse(AutoencoderConfig, about["model"], str(folder / CONFIG))
            with torch.device("meta"):
                model = Autoencoder(config)
    except (ConfigError, RuntimeError, MemoryError) as error:
        raise CheckpointError(f"not a usable model config: {error}") from None
    fold_weight_norm(model)
    file = folder / WEIGHTS
    weights.fill(model, weights.read(file, model), file, assign=True)
    return model.eval().requires_grad_(requires_grad=False)


def find(path: Path, what: str = "model") -> Path:
    """Return the folder of the model that a path or a name means.

    Args:
        path: the folder itself, a run folder that holds one as `model/`, or, where nothing is there
            by that path, the name of one that comes with audiovq.
        what: `model` or `prior`, for errors.

    Raises:
        CheckpointError: there is none.
    """
    with contextlib.suppress(OSError):  # a name too long for the file system
        for folder in shipped.places(path):
            if (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file():
                return folder
    known = shipped.names("prior" if what == "prior" else "autoencoder")
    ours = f", or the name of one that comes with audiovq: {', '.join(known)}" if known else ""
    hidden = "; the one of that name is hidden by the path" if str(path) in known else ""
    raise CheckpointError(
        f"no {what} at {path}: a folder with {WEIGHTS} and {CONFIG} is accepted, such as the "
        f"`model` folder of a training run{ours}{hidden}"
    )


def read_config(path: Path, form: str, version: int, migrations: Migrations) -> dict[str, Any]:
    """Return what a `config.json` holds, as a version of its format has it.

    Args:
        path: of the file.
        form: its format, such as `audiovq.model`.
        version: that is wanted.
        migrations: from older ones, step by step.

    Raises:
        CheckpointError: it is damaged, of another format, or of a version that is not known.
    """
    if path.stat().st_size > configs.MAX_CONFIG_BYTES:
        raise CheckpointError(f"{path} is larger than {configs.MAX_CONFIG_BYTES} bytes")
    try:
        about: Any = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from None
    if not isinstance(about, dict) or about.get("format") != form:
        raise CheckpointError(
            f"{path} is not the config of an {form.replace('.', ' ')}{_what_it_is(about)}"
        )
    there = about.get("format_version")
    while isinstance(there, int) and there in migrations:
        about = migrations[there](about)
        there = about["format_version"]
    if there != version:
        raise CheckpointError(
            f"{path} has format_version {there!r}; this audiovq reads up to {version}: "
            f"update audiovq, or train again"
        )
    return dict(about)


def _what_it_is(about: Any) -> str:
    """Say which of our formats a config is of, if it is."""
    given = str(about.get("format", "")) if isinstance(about, dict) else ""
    known = {"audiovq.model": "a model", "audiovq.prior": "a prior"}
    return f": it is {known[given]}'s" if given in known else ""


def _settled(model: "Autoencoder") -> "Autoencoder":
    """Return a copy whose codebooks are their codes alone, which float16 holds to 11 bits."""
    settled = copy.deepcopy(model)
    for module in settled.modules():
        if isinstance(module, EMACodebook):
            module.settle()
    return settled
