"""What the peers' networks need to stand where ours do: masks, a start, a device to be built on.

transformers' networks know no masks. Each of their layers that looks along time gets a hook that
sets its input to zero where an item is over, so that an item is the same alone and in a batch.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from audiovq.errors import ConfigError

Start = Literal["level", "published"]
START = (
    "level: every layer keeps the signal's variance, as ours do; published: the reference code's "
    "initialisation, made for 4 to 7 times as many channels"
)


class Masks:
    """Masks the input of some layers while a batch with a mask passes.

    Args:
        network: holds the layers.
        kinds: classes of the layers.
    """

    def __init__(self, network: nn.Module, kinds: tuple[type[nn.Module], ...]) -> None:
        self._mask: Tensor | None = None
        for module in network.modules():
            if isinstance(module, kinds):
                module.register_forward_pre_hook(self._apply)

    @contextmanager
    def of(self, mask: Tensor | None) -> Iterator[None]:
        """Within the context layers see zeros where the mask, (B, 1, T), is 0."""
        self._mask = mask
        try:
            yield
        finally:
            self._mask = None

    def _apply(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        del module
        if self._mask is None:
            return None
        x, *rest = inputs
        mask = self._mask.to(x.dtype)
        return x * mask.repeat_interleave(x.shape[-1] // mask.shape[-1], dim=-1), *rest


def modelling(name: str) -> ModuleType:
    """Return transformers' module of an architecture: `dac` or `encodec`.

    Raises:
        ConfigError: transformers is not installed.
    """
    import importlib

    try:
        return importlib.import_module(f"transformers.models.{name}.modeling_{name}")
    except ImportError as error:
        raise ConfigError(
            f"the peer {name} is transformers' ({error}): pip install 'audiovq[hf]'"
        ) from None


def built(make: Callable[[], Any]) -> Any:
    """Return a module made on the CPU even where a model is first built without memory.

    The peers hold buffers that no file has, which would stay without memory.
    """
    with torch.device("cpu"):
        return make()


@torch.no_grad()
def keep_level(conv: nn.Conv1d | nn.ConvTranspose1d, gain: float) -> None:
    """Start a convolution so that its output has gain^2 times its input's variance; no bias."""
    if isinstance(conv, nn.ConvTranspose1d):
        fan_in = conv.in_channels * conv.kernel_size[0] / conv.stride[0]
    else:
        fan_in = conv.in_channels // conv.groups * conv.kernel_size[0]
    weight = torch.randn_like(conv.weight) * (gain / fan_in**0.5)
    if parametrize.is_parametrized(conv, "weight"):
        conv.weight = weight  # which sets direction and length
    else:
        conv.weight.copy_(weight)
    assert conv.bias is not None
    conv.bias.zero_()
