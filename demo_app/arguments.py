"""What a call brings is looked at before gradio does: mistakes are told to whoever made them.

gradio refuses a wrong number or name with a traceback in the server's log and words of its own.
"""

import math
from typing import Any, TypeGuard

import gradio as gr
from gradio.exceptions import ComponentProcessingError

from audiovq.errors import ConfigError

from .panels._common import refusal

_MISTAKES = (TypeError, ValueError, LookupError, AttributeError, ComponentProcessingError)


class Page(gr.Blocks):
    """A page whose visitors' mistakes are answered in one line, and leave none in the log."""

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> list[Any]:
        """Return the arguments of a function, or refuse them."""
        try:
            _check(block_fn, inputs, state)
            found: list[Any] = await super().preprocess_data(block_fn, inputs, state, explicit_call)
        except gr.Error as error:
            raise refusal(ConfigError(error.message)) from None
        except _MISTAKES:
            wrong = "an argument is not of the kind that is described: see the API's page"
            raise refusal(ConfigError(wrong)) from None
        except ConfigError as error:
            raise refusal(error) from None
        return found


def _check(block_fn: Any, inputs: list[Any], state: Any) -> None:
    """Refuse too few arguments, and numbers that are none or out of their control's range."""
    wanted = block_fn.inputs
    if len(inputs) < len(wanted):
        raise ConfigError(
            f"{len(inputs)} arguments are given; {block_fn.api_name} takes {len(wanted)}"
        )
    for block, value in zip(wanted, inputs, strict=False):
        now = state[block._id] if state is not None and block._id in state else block  # noqa: SLF001
        if isinstance(now, gr.Number | gr.Slider):
            check_number(now, value)


def check_number(control: gr.Number | gr.Slider, value: object) -> None:
    """Refuse what a control for numbers cannot hold.

    Raises:
        ConfigError: it is no number, none that the control allows, or no whole one.
    """
    low = -math.inf if control.minimum is None else float(control.minimum)
    high = math.inf if control.maximum is None else float(control.maximum)
    whole = _is_whole(control)
    if _is_number(value) and low <= value <= high and (not whole or value == int(value)):
        return
    name = str(control.label).split(":", maxsplit=1)[0].split(";", maxsplit=1)[0]
    given = "empty" if value is None else repr(value)[:40]
    raise ConfigError(f"{name} must be a {'whole ' * whole}number{_range(low, high)}, not {given}")


def _is_number(value: object) -> TypeGuard[float]:
    """Whether JSON gave a finite number; `true` is none, though Python takes it for 1."""
    kind = isinstance(value, int | float) and not isinstance(value, bool)
    return kind and (not isinstance(value, float) or math.isfinite(value))


def _is_whole(control: gr.Number | gr.Slider) -> bool:
    if control.precision == 0:
        return True
    if isinstance(control, gr.Number):
        return False
    return float(control.step).is_integer() and float(control.minimum).is_integer()


def _range(low: float, high: float) -> str:
    if math.isinf(high):
        return "" if math.isinf(low) else f" of at least {low:.12g}"
    return f" from {low:.12g} to {high:.12g}"
