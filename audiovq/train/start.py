"""What a new run starts from: another model's weights, and what does not fit of them."""

from pathlib import Path
from typing import Literal

import torch
from torch import nn
from torch.nn.utils import parametrize

from audiovq import release
from audiovq.autoencoder import Autoencoder


def copy_weights(
    model: Autoencoder, path: str | Path, codebook: Literal["keep", "new"]
) -> tuple[list[str], list[str]]:
    """Copy the weights of a saved model wherever name and shape agree.

    Args:
        model: changed in place.
        path: a model or run folder.
        codebook: `new` leaves the bottleneck as it is, to be initialised from frames.

    Returns:
        names in the model that got nothing, and names in the file that fit nowhere.

    Raises:
        CheckpointError: the folder holds no usable model.
    """
    given = release.load(path).state_dict()
    if codebook == "new":
        given = {k: v for k, v in given.items() if not k.startswith("bottleneck.")}
    wanted = release.plain_state(model)
    fitting = {k for k, v in given.items() if k in wanted and wanted[k].shape == v.shape}
    with torch.no_grad():
        for name in fitting:
            owner, _, leaf = name.rpartition(".")
            _assign(model.get_submodule(owner), leaf, given[name])
    return sorted(wanted.keys() - fitting), sorted(given.keys() - fitting)


def _assign(module: nn.Module, name: str, value: torch.Tensor) -> None:
    if parametrize.is_parametrized(module, name):
        setattr(module, name, value.to(getattr(module, name)))  # weight norm takes it apart
    else:
        getattr(module, name).copy_(value)
