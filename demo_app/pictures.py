"""Pictures: units on every axis, legible on light and on dark ground."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from jaxtyping import Int
from torch import Tensor

from .sound import Recording
from .work.compare import Comparison
from .work.edit import Edited
from .work.resynthesise import Resynthesis
from .work.units import Found

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#767676"  # 4.5 times the contrast to white and to black: for text on either


def png(figure: "Figure") -> bytes:
    """Return a figure as the bytes of a PNG with a transparent ground."""
    raise NotImplementedError


def themed(figure: "Figure", ink: str = INK) -> "Figure":
    """Return the figure with text and lines in one colour, on a transparent ground."""
    raise NotImplementedError


def spectrograms(found: Resynthesis, ink: str = INK) -> "Figure":
    """Draw original, reconstruction (dB), and their difference (dB), on one axis of time (s)."""
    raise NotImplementedError


def codes(
    codes: Int[Tensor, "K T"],
    codebook_sizes: Sequence[int],
    layout: Sequence[str],
    frame_rate: float,
    ink: str = INK,
) -> "Figure":
    """Draw codes over time (s) and codebook; the colour is the code's number in its codebook."""
    raise NotImplementedError


def units(found: Found, chosen: Sequence[int] | None = None, ink: str = INK) -> "Figure":
    """Draw units with their times over the spectrogram, and mark every one that is `chosen`."""
    raise NotImplementedError


def edited(before: Edited, after: Edited, frame_rate: float, ink: str = INK) -> "Figure":
    """Draw spectrograms before and after an edit, and the span that it changed."""
    raise NotImplementedError


def rate_distortion(found: Comparison, name: str = "log_mel_distance", ink: str = INK) -> "Figure":
    """Draw a score of every model over its rate (bit/s)."""
    raise NotImplementedError


def sounds(recordings: Mapping[str, Recording], ink: str = INK) -> "Figure":
    """Draw mel spectrograms one below the other, by label."""
    raise NotImplementedError
