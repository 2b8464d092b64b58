"""Where a unit occurs in a corpus: a folder of `audiovq extract`, and its audio if it is there."""

from collections.abc import Sequence
from pathlib import Path

from .units import CONTEXT, Clip, Found


class Corpus:
    """The units of a corpus, searched unit by unit.

    May be used by several threads at once.

    Args:
        folder: what `audiovq extract` wrote; its manifest is where it was then.
        manifest: where it is now, if it has moved.

    Attributes:
        name: of the folder.
        note: why there is no sound, in one line; "" if there is.

    Raises:
        CheckpointError: the folder is missing, unfinished or damaged.
    """

    name: str
    note: str

    def __init__(self, folder: str | Path, manifest: str | Path | None = None) -> None:
        raise NotImplementedError

    def why_not(self, found: Found) -> str:
        """Return why units of this recording are none of this corpus, in one line; "" if so."""
        raise NotImplementedError

    def count(self, codes: Sequence[int], codebooks: Sequence[int] = (0,)) -> int:
        """Return how often a unit occurs (runs, not frames)."""
        raise NotImplementedError

    def clips(
        self,
        codes: Sequence[int],
        codebooks: Sequence[int] = (0,),
        *,
        context: float = CONTEXT,
        limit: int = 12,
    ) -> list[Clip]:
        """Return how a unit sounds in the corpus, from as many utterances as possible.

        Empty where the audio is not there; `note` says why.
        """
        raise NotImplementedError
