"""Loudness by ITU-R BS.1770-4, and recordings brought to the same, for fair listening."""

from collections.abc import Sequence

from ..sound import Recording

HOW = (
    "All are brought to the loudness of the original (ITU-R BS.1770-4; by RMS where under 0.4 s), "
    "and all turned down together by as much where one of them would clip."
)


def loudness(recording: Recording) -> float | None:
    """Return the integrated loudness (LUFS); None of silence, or of less than 0.4 s."""
    raise NotImplementedError


def matched(original: Recording, others: Sequence[Recording]) -> list[tuple[Recording, float]]:
    """Return the original and the others at one loudness, each with the gain it got (dB).

    Silent ones are left as they are.
    """
    raise NotImplementedError
