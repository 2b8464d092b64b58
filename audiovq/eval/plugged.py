"""Models of others that judge speech, when the user names them: a transformers model or a callable.

`hf:FOLDER` is a folder of transformers on this disk; `hf:OWNER/NAME` is one of the Hugging Face
hub, fetched because the user typed it. Anything else is the dotted name of a callable, imported
because the user typed it. No pickle is read, and no code that comes with a model is run.
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from torch import Tensor

from audiovq.data.manifest import Record
from audiovq.errors import CheckpointError, ConfigError
from audiovq.units.optional import need

HF = "hf:"
Wave = Float[Tensor, "1 1 _"]
Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Verdict:
    """What a judge says of one utterance through one system.

    Attributes:
        scores: a number, or why there is none, by measure.
        facts: what is kept beside them in the utterance's row.
    """

    scores: Mapping[str, float | str]
    facts: Mapping[str, Any] = field(default_factory=dict)


class Judge(ABC):
    """Scores every system's rendering of one utterance, hearing the original once.

    Attributes:
        names: the measures it gives.
        about: what it is, for the report.
    """

    names: tuple[str, ...]
    about: Mapping[str, str]

    @abstractmethod
    def __call__(
        self, record: Record, x: Wave, x_hats: Sequence[Wave], sample_rate: int
    ) -> list[Verdict]:
        """Return a verdict on each reconstruction."""

    @abstractmethod
    def refuse(self, reason: str) -> Verdict:
        """Return the verdict that there is none."""


def dotted(name: str, what: str) -> Callable[..., Any]:
    """Return a callable by its dotted name, as the user typed it.

    Raises:
        ConfigError: there is none.
    """
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"{what} {name!r}: {error or 'no such module'}; give hf:FOLDER, hf:OWNER/NAME or the "
            f"dotted name of a callable, such as my_pkg.my_function"
        ) from None
    if not callable(found):
        raise ConfigError(f"{what} {name!r} is a {type(found).__name__}, and no callable")
    return found  # type: ignore[no-any-return]  # checked


def transformers() -> Any:
    """Return the library.

    Raises:
        ConfigError: it is not installed.
    """
    # it imports torchaudio, which may refuse this build of torch: ours must be there first
    from audiovq import _torchaudio  # noqa: F401, PLC0415

    return need("transformers", "speaker and speech models", "audiovq[hf]")


def pretrained(kind: Any, place: str, **more: Any) -> Any:
    """Return what `kind.from_pretrained` makes of a folder, or of a name on the hub.

    Raises:
        CheckpointError: it cannot.
    """
    local = Path(place).is_dir()
    if not local and (place.startswith((".", "/", "~")) or place.count("/") > 1):
        raise CheckpointError(f"no folder {place}; give one, or OWNER/NAME on the hub")
    try:
        return kind.from_pretrained(place, local_files_only=local, trust_remote_code=False, **more)
    except Exception as error:  # noqa: BLE001  (whatever a stranger's folder provokes in there)
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{place} is no usable {kind.__name__}: {reason}") from None


def weights(kind: Any, place: str) -> Any:
    """Return a model in evaluation mode, with every weight found in its safetensors file.

    Raises:
        CheckpointError: it cannot be read, or lacks weights.
    """
    model, found = pretrained(kind, place, use_safetensors=True, output_loading_info=True)
    # the vector that stands for masked frames in training is never used here
    missing = sorted(k for k in found["missing_keys"] if not k.endswith("masked_spec_embed"))
    if missing:
        raise CheckpointError(
            f"{place} holds a {model.config.model_type} without {missing[0]} ({len(missing)} "
            f"weights missing): it was not trained for this"
        )
    return model.eval()
