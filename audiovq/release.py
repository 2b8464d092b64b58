"""A model as a folder that is safe to share: `model.safetensors` and `config.json`.

Nothing in it is executed: the weights are plain arrays, and the config may name shipped
components only, unless the user names a plug-in. Header, keys and shapes are compared with what
the config implies before any weight is read.
"""

import hashlib
import json
import struct
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

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
Migrations = Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]
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
    about = {
        "format": "audiovq.model",
        "format_version": FORMAT_VERSION,
        "model": model.config.model_dump(mode="json"),
    }
    write(plain_state(model), about, folder)


def write(
    tensors: Mapping[str, Tensor],
    about: Mapping[str, Any],
    folder: Path,
    names: tuple[str, str] = (WEIGHTS, CONFIG),
) -> None:
    """Write tensors and what they are into a folder, each file in one step, config last.

    Args:
        tensors: by name.
        about: what they are.
        folder: made if missing.
        names: of the two files.

    Raises:
        CheckpointError: a weight is not finite.
    """
    state = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    for name, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"not saved: {name} holds NaN or infinity")
    folder.mkdir(parents=True, exist_ok=True)
    # Not safetensors' save_file: it does not fsync, ignores the umask and replaces links.
    # The checksum is in the file itself, so that a kill between two files leaves both usable.
    data = safetensors.torch.save(state, metadata={"sha256": _digest(state)})
    weights, config = names
    atomic_write(folder / weights, data)
    atomic_write(folder / config, json.dumps(about, indent=2, ensure_ascii=False) + "\n")


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
    weights = folder / WEIGHTS
    fill(model, read_weights(weights, model), weights, assign=True)
    return model.eval().requires_grad_(requires_grad=False)


def read_weights(path: Path, shell: nn.Module) -> bytes:
    """Return a weights file's bytes once its header fits: same tensors, types, shapes, no more.

    Args:
        path: of the weights.
        shell: what they are for, on the device `meta`. One of its tensors that is empty, as what
            is counted and not trained may be, has the length that the file gives it.

    Raises:
        CheckpointError: the file is damaged, or does not fit.
    """
    wanted = shell.state_dict()
    return _read_weights(path, {k: (v.dtype, tuple(v.shape)) for k, v in wanted.items()})


def fill(module: nn.Module, data: bytes, path: Path, *, assign: bool = False) -> None:
    """Put weights into a module.

    Args:
        module: gets them.
        data: what `read_weights` returned.
        path: where from, for errors.
        assign: the module's tensors become those read, as one on the device `meta` needs.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        state = safetensors.torch.load(data)
        module.load_state_dict(state, assign=assign)
    except (safetensors.SafetensorError, RuntimeError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}; copy it again") from None
    for name, value in module.state_dict().items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"{path}: {name} holds NaN or infinity")
    if _stated_digest(data) not in (None, _digest(state)):
        raise CheckpointError(f"{path} is damaged: its checksum differs; copy it again")


def find(path: Path, what: str = "model") -> Path:
    """Return the folder of the model that a path names: itself, or the one in a run folder.

    Raises:
        CheckpointError: there is none.
    """
    for folder in (path, path / "model"):
        if (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file():
            return folder
    raise CheckpointError(
        f"no {what} at {path}: a folder with {WEIGHTS} and {CONFIG} is accepted, such as the "
        f"`model` folder of a training run"
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
        raise CheckpointError(f"{path} is not the config of an {form.replace('.', ' ')}")
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


def _read_weights(path: Path, expected: dict[str, tuple[torch.dtype, tuple[int, ...]]]) -> bytes:
    if sum(_numel(s) for _, s in expected.values()) > _MAX_PARAMETERS:
        raise CheckpointError(f"{path}: the config asks for more than {_MAX_PARAMETERS} weights")
    with path.open("rb") as file:
        prefix = file.read(8)
        size = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else _MAX_HEADER_BYTES + 1
        if size > _MAX_HEADER_BYTES:
            raise CheckpointError(f"{path} is not a safetensors file, or is damaged")
        raw = file.read(size)
        expected = _measured(path, raw, expected)
        needed = sum(dtype.itemsize * _numel(shape) for dtype, shape in expected.values())
        if path.stat().st_size != 8 + size + needed:
            raise CheckpointError(
                f"{path} has {path.stat().st_size} bytes where its config asks for "
                f"{8 + size + needed}: cut off, or of another model"
            )
    _compare(path, _header(path, raw), expected)
    return path.read_bytes()


def _measured(
    path: Path, raw: bytes, expected: dict[str, tuple[torch.dtype, tuple[int, ...]]]
) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """Return what is expected, with the lengths that the file gives to what is still empty."""
    if all(shape != (0,) for _, shape in expected.values()):
        return expected
    found, header = dict(expected), _header(path, raw)
    for name, (dtype, shape) in expected.items():
        entry = header.get(name)
        given = entry.get("shape") if isinstance(entry, dict) else None
        if shape == (0,) and isinstance(given, list) and len(given) == 1:
            length = given[0]
            if isinstance(length, int) and 0 <= length <= _MAX_PARAMETERS:
                found[name] = (dtype, (length,))
    return found


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
