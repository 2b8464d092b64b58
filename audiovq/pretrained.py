"""Models as folders in the layout of the Hugging Face hub: config, weights, and a card.

Local folders need no library and no network; only a hub id (OWNER/NAME) does.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from audiovq import release, shipped
from audiovq.cards import front, write
from audiovq.cards.words import NO_WORDS, Words
from audiovq.errors import CheckpointError, ConfigError

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_FILES = [release.CONFIG, release.WEIGHTS, front.CARD]


@runtime_checkable
class Savable(Protocol):
    """A model or a prior."""

    def save(self, folder: str | Path, /, *, half: bool = False) -> None:
        """Write config and weights."""


def save(
    model: Savable,
    folder: str | Path,
    *,
    half: bool = False,
    words: Words = NO_WORDS,
    evaluations: Sequence[str | Path] = (),
    run: str | Path | None = None,
) -> None:
    """Write a model or a prior with its card; arguments as in `Autoencoder.save_pretrained`."""
    place = Path(folder)
    model.save(place, half=half)
    write.write(
        place,
        words=words,
        evaluations=[Path(e) for e in evaluations],
        run=None if run is None else Path(run),
        force=True,
    )


def find(source: str | Path, revision: str | None = None) -> Path:
    """Return the folder of a model: a local one, one that comes with audiovq, or one fetched.

    Args:
        source: a folder, a name of `audiovq.models()`, or OWNER/NAME on the Hugging Face hub. What
            is there as a folder comes first.
        revision: of a hub id: branch, tag or commit.

    Raises:
        CheckpointError: there is none, or it cannot be fetched.
        ConfigError: it is a hub id, and huggingface_hub is not installed.
    """
    text = str(source)
    if Path(text).exists() or shipped.is_name(text) or not _REPO.fullmatch(text):
        if revision is not None:
            raise ConfigError(
                f"revision={revision!r} is for OWNER/NAME on the hub; {text} is not fetched"
            )
        return Path(text)
    try:
        import huggingface_hub  # noqa: PLC0415  (optional)
    except ImportError:
        raise ConfigError(
            f"{text} is no folder here; to fetch a model of that name from the Hugging Face hub: "
            f"pip install huggingface_hub"
        ) from None
    try:
        got = huggingface_hub.snapshot_download(text, revision=revision, allow_patterns=_FILES)
    except Exception as error:  # noqa: BLE001  (its own, those of HTTP, of TLS, of the disk ...)
        why = " ".join(str(error).split())[:300] or type(error).__name__
        raise CheckpointError(
            f"{text} is no folder here, and could not be fetched from the Hugging Face hub: {why}"
        ) from None
    return Path(got)
