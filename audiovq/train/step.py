"""What a training step is made of: a batch that comes apart, forward, backward, and their sums."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor, nn

from audiovq import distributed
from audiovq.bottlenecks._base import Statistics
from audiovq.train.finite import finite


@runtime_checkable
class Divisible(Protocol):
    """A batch, of whatever: all the loop asks of one is that it comes apart."""

    def split(self, parts: int, /) -> Sequence[Any]:
        """Return the items in so many parts, as equal as can be."""


BatchT = TypeVar("BatchT", bound=Divisible)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepOutput:
    """What a recipe's `step` returns.

    Attributes:
        loss: to minimise, normalised over the whole step.
        terms: parts of it, as logged; a term called `loss` is logged in its place.
        statistics: what the bottleneck learns outside the gradient.
        checks: tensors in pipeline order; the first that is not finite is named.
        rival_loss: of other parameters, such as discriminators', and of none that `loss` is of;
            None: they do not learn in this step.
        squares: squared norms of gradients, which add up over micro-batches and ranks.
    """

    loss: Float[Tensor, ""]
    terms: Mapping[str, Float[Tensor, ""]]
    statistics: Statistics | None = None
    checks: Mapping[str, Tensor] = field(default_factory=dict)
    rival_loss: Float[Tensor, ""] | None = None
    squares: Mapping[str, Float[Tensor, ""]] = field(default_factory=dict)


@dataclass
class WholeStep:
    """What the micro-batches of a step add up to.

    Attributes:
        terms: the parts of the loss, this process's share.
        statistics: of all of them.
        finite: whether each checked tensor of all of them was.
        squares: of all of them, this process's share.
    """

    terms: dict[str, Float[Tensor, ""]] = field(default_factory=dict)
    statistics: Statistics | None = None
    finite: dict[str, Bool[Tensor, ""]] = field(default_factory=dict)
    squares: dict[str, Float[Tensor, ""]] = field(default_factory=dict)

    def add(self, out: StepOutput) -> None:
        """Add a micro-batch."""
        terms = {"loss": out.loss, **out.terms}
        for sums, values in ((self.terms, terms), (self.squares, out.squares)):
            for key, value in values.items():
                sums[key] = sums[key] + value.detach() if key in sums else value.detach()
        for key, flag in finite(out.checks).items():
            self.finite[key] = self.finite[key] & flag if key in self.finite else flag
        if out.statistics is not None:
            old = self.statistics
            self.statistics = out.statistics if old is None else old + out.statistics


def forward_and_backward(
    parts: Sequence[BatchT], step: Callable[[BatchT], StepOutput], networks: Sequence[nn.Module]
) -> WholeStep:
    """Add up loss and gradient of the micro-batches of a step; the last one's backward sends it.

    Args:
        parts: the micro-batches.
        step: forward of one of them.
        networks: whose gradients are summed over ranks.
    """
    whole = WholeStep()
    ranks = distributed.part()[1]
    for i, part in enumerate(parts):
        with ExitStack() as stack:
            for network in networks if i < len(parts) - 1 else ():
                stack.enter_context(distributed.hold(network))
            out = step(part)
            # DDP takes the mean over ranks; the loss is normalised for a sum over them. One after
            # the other, so that on all ranks the gradients are sent in one order.
            if out.rival_loss is not None:
                (out.rival_loss * ranks).backward()  # type: ignore[no-untyped-call]
            (out.loss * ranks).backward()  # type: ignore[no-untyped-call]
        whole.add(out)
    return whole
