"""Activation checkpointing: memory for time, without a change to the modules."""

from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint


def recompute(module: nn.Module) -> None:
    """Let a module forget its activations after forward and compute them again in backward.

    Those of each of its `stages`, where it has some, else of the whole.

    Source: Chen et al. 2016 (arXiv:1604.06174).
    """
    stages = getattr(module, "stages", None)
    for part in stages if isinstance(stages, nn.ModuleList) else [module]:
        part.forward = partial(checkpoint, part.forward, use_reentrant=False)
