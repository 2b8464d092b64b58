"""Sets as LibriSpeech names them, such as `dev-clean`, and the splits they stand for."""

from collections.abc import Sequence
from pathlib import Path

from audiovq.data.manifest import SPLITS, Split

_NAMES: dict[str, Split] = {"train": "train", "dev": "validation", "test": "test"}


def splits(paths: Sequence[Path]) -> list[Split | None]:
    """Return the split of each file by the first folder that is named like a set.

    Where train, dev and test are all there, they are the splits; of a part of the corpus, dev
    validates, test tests, and train follows the common rule, which is what None stands for.

    Args:
        paths: relative to the corpus's root.
    """
    own = [_split(path) for path in paths]
    whole = set(SPLITS) <= set(own)
    return [None if split == "train" and not whole else split for split in own]


def _split(path: Path) -> Split | None:
    words = [part.split("-")[0] for part in path.parts[:-1]]
    return next((_NAMES[word] for word in words if word in _NAMES), None)
