"""Training and test parts in which every speaker is known and no sentence is in both."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

TEST_SHARE = 0.25


def split(speakers: Sequence[str], texts: Sequence[str | None], rng: np.random.Generator) -> Mask:
    """Draw which utterances are tested: about a quarter of each speaker's.

    A sentence goes to one side whole, whoever says it (in TIMIT all say two of the sentences, and
    whoever knows how one speaker's units of it look would have an easier time). At least one
    utterance of every speaker is left for training.

    Args:
        speakers: of each utterance.
        texts: what is said; None: like no other.
        rng: source of the draw.
    """
    sentences: dict[object, list[int]] = {}
    for i, text in enumerate(texts):
        sentences.setdefault(i if text is None else text, []).append(i)
    owned: dict[str, int] = {}
    for speaker in speakers:
        owned[speaker] = owned.get(speaker, 0) + 1
    room = {s: min(n - 1, max(1, round(TEST_SHARE * n))) for s, n in owned.items()}
    tested = np.zeros(len(speakers), np.bool_)
    for group in _in_turn(list(sentences.values()), rng):
        taken: dict[str, int] = {}
        for i in group:
            taken[speakers[i]] = taken.get(speakers[i], 0) + 1
        if all(n <= room[s] for s, n in taken.items()):
            tested[group] = True
            for s, n in taken.items():
                room[s] -= n
    return tested


def _in_turn(groups: list[list[int]], rng: np.random.Generator) -> list[list[int]]:
    """Return the sentences in random order, a quarter of the shared ones first, the rest last.

    Were all in one random order, a sentence that everyone says would hardly ever find room.
    """
    drawn = rng.random(len(groups)) < TEST_SHARE
    mixed = [(groups[g], drawn[g]) for g in rng.permutation(len(groups))]
    first = [g for g, is_drawn in mixed if len(g) > 1 and is_drawn]
    last = [g for g, is_drawn in mixed if len(g) > 1 and not is_drawn]
    return [*first, *(g for g, _ in mixed if len(g) == 1), *last]
