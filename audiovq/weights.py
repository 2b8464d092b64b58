"""The weights file of a folder that is safe to share: plain arrays, compared before they are read.

Format: safetensors. Names, shapes and types are those of the module's state, but what the module
holds in float32 may be stored in float16 (`F16`), each tensor on its own. It is float32 again once
it is read, exactly the stored value: storing what was read in either type gives an equal model with
an equal fingerprint. `sha256` in the header is of the tensors as they are stored.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from audiovq.errors import CheckpointError

_MAX_HEADER_BYTES = 1 << 20  # safetensors' own limit of 100 MB costs 16 s and 800 MB to parse
_MAX_PARAMETERS = 4 << 30  # a config that asks for more is refused before anything is built

_DTYPES = {
    "F16": torch.float16,
    "F32": torch.float32,
    "F64": torch.float64,
    "I64": torch.int64,
    "BOOL": torch.bool,
}
_Expected = dict[str, tuple[torch.dtype, tuple[int, ...]]]


def to_bytes(tensors: Mapping[str, Tensor], *, half: bool = False) -> bytes:
    """Return a weights file.

    Args:
        tensors: by name.
        half: store what is float32 in float16, rounded to the nearest.

    Raises:
        CheckpointError: a weight is not finite, or too large for float16.
    """
    state = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    for name, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"not saved: {name} holds NaN or infinity")
        if half and value.dtype == torch.float32:
            state[name] = _rounded(name, value)
    # Not safetensors' save_file: it does not fsync, ignores the umask and replaces links.
    # The checksum is in the file itself, so that a kill between two files leaves both usable.
    return safetensors.torch.save(state, metadata={"sha256": _digest(state)})


def read(path: Path, shell: nn.Module) -> bytes:
    """Return a weights file's bytes once its header fits: same tensors, types, shapes, no more.

    Args:
        path: of the weights.
        shell: what they are for, on the device `meta`. One of its tensors that is empty, as what
            is counted and not trained may be, has the length that the file gives it.

    Raises:
        CheckpointError: the file is damaged, or does not fit.
    """
    wanted = shell.state_dict()
    return _read(path, {k: (v.dtype, tuple(v.shape)) for k, v in wanted.items()})


def fill(module: nn.Module, data: bytes, path: Path, *, assign: bool = False) -> None:
    """Put weights into a module.

    Args:
        module: gets them.
        data: what `read` returned.
        path: where from, for errors.
        assign: the module's tensors become those read, as one on the device `meta` needs.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        state = safetensors.torch.load(data)
        whole = {k: v.float() if v.dtype == torch.float16 else v for k, v in state.items()}
        module.load_state_dict(whole, assign=assign)
    except (safetensors.SafetensorError, RuntimeError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}; copy it again") from None
    for name, value in module.state_dict().items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"{path}: {name} holds NaN or infinity")
    if _stated_digest(data) not in (None, _digest(state)):
        raise CheckpointError(f"{path} is damaged: its checksum differs; copy it again")


def stored_types(path: Path) -> set[str]:
    """Return the names of the types in a weights file, such as `F16`; its tensors are not read.

    Raises:
        CheckpointError: it is no such file.
    """
    with path.open("rb") as file:
        header = _header(path, _raw_header(path, file.read(8), file.read(_MAX_HEADER_BYTES)))
    return {str(e.get("dtype")) for e in header.values() if isinstance(e, dict)}


def _rounded(name: str, value: Tensor) -> Tensor:
    rounded = value.half()
    if not bool(torch.isfinite(rounded).all()):
        raise CheckpointError(
            f"not saved: {name} holds {float(value.abs().max()):g}, and float16 ends at 65504: "
            f"save it in float32"
        )
    return rounded


def _raw_header(path: Path, prefix: bytes, rest: bytes) -> bytes:
    size = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else _MAX_HEADER_BYTES + 1
    if size > _MAX_HEADER_BYTES:
        raise CheckpointError(f"{path} is not a safetensors file, or is damaged")
    return rest[:size]


def _read(path: Path, expected: _Expected) -> bytes:
    if sum(_numel(s) for _, s in expected.values()) > _MAX_PARAMETERS:
        raise CheckpointError(f"{path}: the config asks for more than {_MAX_PARAMETERS} weights")
    with path.open("rb") as file:
        raw = _raw_header(path, file.read(8), file.read(_MAX_HEADER_BYTES))
    header = _header(path, raw)
    expected = {k: _stored(v, header.get(k)) for k, v in expected.items()}
    needed = sum(dtype.itemsize * _numel(shape) for dtype, shape in expected.values())
    if path.stat().st_size != 8 + len(raw) + needed:
        raise CheckpointError(
            f"{path} has {path.stat().st_size} bytes where its config asks for "
            f"{8 + len(raw) + needed}: cut off, or of another model"
        )
    _compare(path, header, expected)
    return path.read_bytes()


def _stored(
    wanted: tuple[torch.dtype, tuple[int, ...]], entry: Any
) -> tuple[torch.dtype, tuple[int, ...]]:
    """Return type and shape as the file may have them: half the precision, the length of a list."""
    dtype, shape = wanted
    if not isinstance(entry, dict):
        return wanted
    if dtype == torch.float32 and entry.get("dtype") == "F16":
        dtype = torch.float16
    given = entry.get("shape")
    if shape == (0,) and isinstance(given, list) and len(given) == 1:
        length = given[0]
        if isinstance(length, int) and 0 <= length <= _MAX_PARAMETERS:
            shape = (length,)
    return dtype, shape


def _header(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise CheckpointError(f"{path} is not a safetensors file, or is damaged")
    header.pop("__metadata__", None)
    return header


def _compare(path: Path, header: dict[str, Any], expected: _Expected) -> None:
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


def _digest(state: Mapping[str, Tensor]) -> str:
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
