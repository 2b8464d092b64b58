"""A model as a folder that is safe to share: `model.safetensors` and `config.json`.

Nothing in it is executed: the weights are plain arrays, and the config may name shipped
components only, unless the user names a plug-in. Header, keys and shapes are compared with what
the config implies before any weight is read.
"""

import hashlib
import json
import struct
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from audiovq import config as configs
from audiovq import registry
from audiovq.errors import CheckpointError, ConfigError
from audiovq.files import atomic_write
from audiovq.nn.conv import fold_weight_norm

if TYPE_CHECKING:
    from audiovq.autoencoder import Autoencoder

FORMAT_VERSION = 1
WEIGHTS, CONFIG = "model.safetensors", "config.json"
_MAX_HEADER_BYTES = 1 << 20  # safetensors' own limit of 100 MB costs 16 s and 800 MB to parse
_MAX_PARAMETERS = 4 << 30  # a config that asks for more is refused before anything is built

# Version n -> function that turns a config.json of version n into one of version n + 1.
_MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}

_DTYPES = {"F32": torch.float32, "F64": torch.float64, "I64": torch.int64, "BOOL": torch.bool}


def plain_state(model: "Autoencoder") -> dict[str, Tensor]:
    """Return the model's tensors with weight norm folded in, by name."""
    if not any("parametrizations" in name for name in model.state_dict()):
        return dict(model.state_dict())
    with torch.device("meta"):
        shell = type(model)(model.config)
    shell.load_state_dict(model.state_dict(), assign=True)
    fold_weight_norm(shell)
    return dict(shell.state_dict())


def save(model: "Autoencoder", folder: Path) -> None:
    """Write the model into a folder, each file in one step, config last.

    Raises:
        CheckpointError: a weight is not finite.
    """
    state = {k: v.detach().cpu().contiguous() for k, v in plain_state(model).items()}
    for name, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"not saved: {name} holds NaN or infinity")
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "format": "audiovq.model",
        "format_version": FORMAT_VERSION,
        "model": model.config.model_dump(mode="json"),
    }
    # Not safetensors' save_file: it does not fsync, ignores the umask and replaces links.
    # The checksum is in the file itself, so that a kill between two files leaves both usable.
    data = safetensors.torch.save(state, metadata={"sha256": _digest(state)})
    atomic_write(folder / WEIGHTS, data)
    atomic_write(folder / CONFIG, json.dumps(about, indent=2, ensure_ascii=False) + "\n")


def load(path: str | Path, plugins: Collection[str] = ()) -> "Autoencoder":
    """Load a model for use.

    Args:
        path: a model folder, or a run folder that holds one as `model/`.
        plugins: dotted names of plug-in components you trust, if the model uses any.

    Returns:
        the model in eval mode, on the CPU.

    Raises:
        CheckpointError: a file is missing, damaged, of another version, or does not fit.
    """
    from audiovq.autoencoder import Autoencoder, AutoencoderConfig  # noqa: PLC0415  (a circle)

    folder = _folder(Path(path))
    about = _read_config(folder / CONFIG)
    try:
        with registry.plugins(plugins):
            config = configs.parse(AutoencoderConfig, about, str(folder / CONFIG))
            with torch.device("meta"):
                model = Autoencoder(config)
    except (ConfigError, RuntimeError, MemoryError) as error:
        raise CheckpointError(f"not a usable model config: {error}") from None
    fold_weight_norm(model)
    expected = {k: (v.dtype, tuple(v.shape)) for k, v in model.state_dict().items()}
    data = _read_weights(folder / WEIGHTS, expected)
    try:
        state = safetensors.torch.load(data)
        model.load_state_dict(state, assign=True)
    except (safetensors.SafetensorError, RuntimeError, ValueError, TypeError) as error:
        raise CheckpointError(f"{folder / WEIGHTS} is damaged: {error}; copy it again") from None
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"{folder / WEIGHTS}: {name} holds NaN or infinity")
    if _stated_digest(data) not in (None, _digest(state)):
        raise CheckpointError(f"{folder / WEIGHTS} is damaged: its checksum differs; copy it again")
    return model.eval().requires_grad_(requires_grad=False)


def _folder(path: Path) -> Path:
    for folder in (path, path / "model"):
        if (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file():
            return folder
    raise CheckpointError(
        f"no model at {path}: a folder with {WEIGHTS} and {CONFIG} is accepted, such as the "
        f"`model` folder of a training run"
    )


def _read_config(path: Path) -> dict[str, Any]:
    if path.stat().st_size > configs.MAX_CONFIG_BYTES:
        raise CheckpointError(f"{path} is larger than {configs.MAX_CONFIG_BYTES} bytes")
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from None
    if not isinstance(about, dict) or about.get("format") != "audiovq.model":
        raise CheckpointError(f"{path} is not the config of an audiovq model")
    version = about.get("format_version")
    while isinstance(version, int) and version in _MIGRATIONS:
        about = _MIGRATIONS[version](about)
        version = about["format_version"]
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format_version {version!r}; this audiovq reads up to {FORMAT_VERSION}: "
            f"update audiovq, or train again"
        )
    if not isinstance(about.get("model"), dict):
        raise CheckpointError(f"{path} describes no model")
    model: dict[str, Any] = about["model"]
    return model


def _read_weights(path: Path, expected: dict[str, tuple[torch.dtype, tuple[int, ...]]]) -> bytes:
    """Return the file's bytes once its header fits: same tensors, types, shapes, no byte more."""
    needed = sum(dtype.itemsize * _numel(shape) for dtype, shape in expected.values())
    if sum(_numel(s) for _, s in expected.values()) > _MAX_PARAMETERS:
        raise CheckpointError(f"{path}: the config asks for more than {_MAX_PARAMETERS} weights")
    with path.open("rb") as file:
        prefix = file.read(8)
        size = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else _MAX_HEADER_BYTES + 1
        if size > _MAX_HEADER_BYTES:
            raise CheckpointError(f"{path} is not a safetensors file, or is damaged")
        raw = file.read(size)
        if path.stat().st_size != 8 + size + needed:
            raise CheckpointError(
                f"{path} has {path.stat().st_size} bytes where its config asks for "
                f"{8 + size + needed}: cut off, or of another model"
            )
    _compare(path, _header(path, raw), expected)
    return path.read_bytes()


def _header(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise CheckpointError(f"{path} is not a safetensors file, or is damaged")
    header.pop("__metadata__", None)
    return header


def _compare(
    path: Path, header: dict[str, Any], expected: dict[str, tuple[torch.dtype, tuple[int, ...]]]
) -> None:
    if header.keys() != expected.keys():
        odd = sorted(header.keys() ^ expected.keys())
        raise CheckpointError(f"{path} does not fit its config: {len(odd)} names, as {odd[0]!r}")
    for name, (dtype, shape) in expected.items():
        entry = header[name] if isinstance(header[name], dict) else {}
        if (_DTYPES.get(str(entry.get("dtype"))), entry.get("shape")) != (dtype, list(shape)):
            raise CheckpointError(
                f"{path}: {name} is {entry.get('dtype')} {entry.get('shape')}; its config asks "
                f"for {dtype} {list(shape)}"
            )


def _digest(state: dict[str, Tensor]) -> str:
    """Return the SHA-256 of all tensors, by name."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode() + state[name].numpy().tobytes())
    return digest.hexdigest()


def _stated_digest(data: bytes) -> str | None:
    """Return the checksum in a weights file's header, which was parsed before; None without."""
    size = struct.unpack("<Q", data[:8])[0]
    about = json.loads(data[8 : 8 + size]).get("__metadata__") or {}
    stated: str | None = about.get("sha256")
    return stated


def _numel(shape: tuple[int, ...]) -> int:
    total = 1
    for n in shape:
        total *= n
    return total
