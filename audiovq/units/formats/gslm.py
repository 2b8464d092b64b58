"""Text for unit language models, as GSLM trains them: a line of deduplicated units per utterance.

`{split}.txt` is what `fairseq-preprocess --only-source` takes; `{split}.keys` has the id of each
line, and `{split}.dur` how many frames each unit lasts.

Holds neither length, speaker nor text.

Source: fairseq, examples/textless_nlp/gslm/ulm.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from audiovq.files import atomic_open
from audiovq.units.formats._base import About, Add, Row, one_line
from audiovq.units.formats.fairseq import open_lines, read_numbers, write_numbers

FILES = ("{split}.txt", "{split}.keys", "{split}.dur")
DEDUPLICATED = LINES = True
PATHS = False


@contextmanager
def writer(folder: Path, split: str, about: About) -> Iterator[Add]:  # noqa: ARG001
    """Open the files of a split."""
    with ExitStack() as stack:
        units, keys, spans = (
            stack.enter_context(atomic_open(folder / f"{split}.{end}"))
            for end in ("txt", "keys", "dur")
        )

        def add(row: Row) -> None:
            assert row.durations is not None
            keys.write(f"{one_line(row.id, 'the id')}\n".encode())
            write_numbers(units, row.tokens)
            write_numbers(spans, row.durations)

        yield add


def reader(folder: Path, split: str, about: About) -> Iterator[Row]:  # noqa: ARG001
    """Yield the rows of a split."""
    with ExitStack() as stack:
        units, keys, spans = (
            stack.enter_context(open_lines(folder / f"{split}.{end}"))
            for end in ("txt", "keys", "dur")
        )
        for key in keys:
            yield Row(
                id=key.removesuffix("\n"),
                tokens=read_numbers(units),
                durations=read_numbers(spans),
                split=None if split == "all" else split,
            )
