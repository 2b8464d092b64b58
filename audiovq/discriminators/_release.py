"""Discriminators beside a released model, so that fine-tuning can go on with them.

They are two more files of its folder, `discriminator.safetensors` and `discriminator.json`, as safe
to load as the model; `audiovq.load` does not look at them.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor

from audiovq import config as configs
from audiovq import release, weights
from audiovq.autoencoder import Autoencoder
from audiovq.config import Config, component
from audiovq.discriminators._all import Discriminators
from audiovq.errors import CheckpointError, ConfigError

FORMAT, VERSION = "audiovq.discriminators", 1
WEIGHTS, CONFIG = "discriminator.safetensors", "discriminator.json"


class _About(Config):
    """What the second config holds."""

    discriminators: tuple[component("discriminators"), ...] = Field(  # type: ignore[valid-type]
        (), description="each a name, and its settings"
    )


@dataclass(frozen=True, slots=True)
class Judged:
    """A model and its discriminators, saved as one folder."""

    model: Autoencoder
    discriminators: Discriminators

    def save(self, folder: Path, /) -> None:
        """Write both; the model first, which is of use without them."""
        self.model.save(folder)
        configured = _About(discriminators=self.discriminators.configs)
        about = {"format": FORMAT, "format_version": VERSION, **configured.model_dump(mode="json")}
        release.write(self.discriminators.state_dict(), about, folder, (WEIGHTS, CONFIG))


def copy_weights(discriminators: Discriminators, path: str | Path) -> tuple[int, int]:
    """Copy the weights of the discriminators beside a model wherever name and shape agree.

    Args:
        discriminators: changed in place.
        path: a model folder, or a run folder that holds one as `model/`.

    Returns:
        how many tensors were copied, and how many got nothing.

    Raises:
        CheckpointError: there is no model, or a file of theirs is damaged or does not fit.
    """
    theirs = _read(release.find(Path(path)))
    state = discriminators.state_dict()
    fitting = {k: v for k, v in theirs.items() if k in state and state[k].shape == v.shape}
    discriminators.load_state_dict(fitting, strict=False)
    return len(fitting), len(state) - len(fitting)


def _read(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of the discriminators in a model folder; none if there are none."""
    file, config = folder / WEIGHTS, folder / CONFIG
    if not (file.is_file() and config.is_file()):
        return {}
    about = release.read_config(config, FORMAT, VERSION, {})
    values = {"discriminators": about.get("discriminators", ())}
    try:
        parsed = configs.parse(_About, values, str(config))
        with torch.device("meta"):
            shell = Discriminators(parsed.discriminators)
    except (ConfigError, RuntimeError, MemoryError) as error:
        raise CheckpointError(f"not usable discriminators: {error}") from None
    weights.fill(shell, weights.read(file, shell), file, assign=True)
    return dict(shell.state_dict())
