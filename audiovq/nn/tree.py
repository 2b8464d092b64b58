"""Output dataclasses as pytrees.

An output that is not a pytree is opaque to DDP, `torch.compile` and checkpointing: DDP with a
static graph then never synchronises the gradients behind it, and says nothing.
"""

from dataclasses import fields
from typing import TypeVar

from torch.utils import _pytree as pytree

T = TypeVar("T")


def register_output(cls: type[T]) -> type[T]:
    """Register a dataclass as a pytree; use as the outermost decorator."""
    names = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    pytree.register_pytree_node(
        cls,
        lambda value: ([getattr(value, n) for n in names], None),
        lambda children, _: cls(**dict(zip(names, children, strict=True))),
        serialized_type_name=f"{cls.__module__}.{cls.__qualname__}",
    )
    return cls
