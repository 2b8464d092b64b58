"""How probable a prior finds codes: nats of every code, each utterance scored whole and alone."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from audiovq.errors import ConfigError, NonFiniteError
from audiovq.prior._base import Condition
from audiovq.prior._release import TrainedPrior
from audiovq.units.given import condition_of
from audiovq.units.sequences import CodeSequences

# logits at a time, 4 bytes each, unless one utterance alone has more; few stay in a CPU's cache
_LOGITS = 1 << 20
_LOGITS_ON_GPU = 1 << 24
_STRETCH = 1 << 21  # codes whose nats are held at a time, until all before them are there

Tell = Callable[[Sequence[int]], Condition]
Each = Callable[[int, Float32[np.ndarray, "K T"]], None]


def code_nats(
    trained: TrainedPrior,
    codes: Sequence[Int[Tensor, "K _"]],
    speakers: Sequence[str | None],
    part: tuple[int, int] = (0, 1),
    tell: Tell | None = None,
) -> Iterator[tuple[int, Float32[np.ndarray, "K T"]]]:
    """Yield the number of each utterance and minus the log-probability (nats) of its every code.

    Utterances come in their order. A stretch of them, two million codes or so, is sorted by length
    and batched, so that little is padded and memory is bounded whatever the corpus. A prior that
    takes labels is told the speakers it knows.

    Args:
        trained: the prior, in eval mode.
        codes: of each utterance.
        speakers: of each, None where unknown.
        part: which of how many parts of the utterances; those of other parts are passed over.
        tell: what the prior is told of utterances, by number; None: their speakers.

    Raises:
        ConfigError: a code is not one of the prior's codebooks.
        NonFiniteError: a code gets no finite log-probability.
    """
    tell = tell or partial(_speakers, trained, trained.label_index(speakers))
    frames = [c.shape[1] for c in codes]
    most = _most_frames(trained)
    for stretch in _stretches(frames, trained.module.num_codebooks):
        longest_first = sorted(stretch, key=lambda i: -frames[i])
        found: dict[int, Float32[np.ndarray, "K T"]] = {}
        for chosen in _batches(most, frames, longest_first[part[0] :: part[1]]):
            given = [codes[i] for i in chosen]
            found |= zip(chosen, _batch(trained, given, tell(chosen)), strict=True)
        yield from sorted(found.items())


def sequence_nats(
    trained: TrainedPrior, sequences: CodeSequences, part: tuple[int, int] = (0, 1)
) -> Iterator[tuple[int, Float32[np.ndarray, "K T"]]]:
    """Yield what `code_nats` does, the prior being told of each utterance what is given with it."""
    tell = partial(condition_of, trained, sequences)
    return code_nats(trained, sequences.codes, sequences.speakers, part, tell)


def nats(
    trained: TrainedPrior,
    sequences: CodeSequences,
    part: tuple[int, int] = (0, 1),
    each: Each | None = None,
) -> Float64[np.ndarray, "U"]:
    """Return minus the log-probability of each utterance (nats), added up in float64.

    Args:
        trained: the prior, in eval mode.
        sequences: the utterances.
        part: which of how many parts of the utterances; those of other parts get 0.
        each: is given the number of each utterance and the nats of its codes, in order.

    Raises:
        ConfigError: a code is not one of the prior's codebooks.
        NonFiniteError: a code gets no finite log-probability.
    """
    total = np.zeros(len(sequences))
    for i, found in sequence_nats(trained, sequences, part):
        total[i] = found.sum(dtype=np.float64)
        if each is not None:
            each(i, found)
    return total


def unigram_nats(
    trained: TrainedPrior, codes: Sequence[Int[Tensor, "K _"]]
) -> Float64[np.ndarray, "U"] | None:
    """Return what each utterance costs by the counts of the training codes; None without them."""
    costs = [-row.log() for row in trained.unigram()]
    if not costs:
        return None
    return np.array(
        [
            sum(float(cost[row.long()].sum()) for cost, row in zip(costs, rows, strict=True))
            for rows in codes
        ]
    )


def _speakers(trained: TrainedPrior, labels: Int[Tensor, "_"], chosen: Sequence[int]) -> Condition:
    if not trained.module.labels:
        return Condition()
    return Condition(label=labels[list(chosen)].to(trained.module.device))


def _batch(
    trained: TrainedPrior, codes: Sequence[Int[Tensor, "K _"]], condition: Condition
) -> Iterator[Float32[np.ndarray, "K T"]]:
    """Yield the nats of each item's codes."""
    prior = trained.module
    rows = [_checked(c, prior.codebook_sizes).T.long() for c in codes]
    padded = pad_sequence(rows, batch_first=True).transpose(1, 2).to(prior.device)
    lengths = torch.tensor([len(row) for row in rows], device=prior.device)
    with torch.no_grad():
        found = -prior.log_prob(padded, lengths, condition).float()
    if wrong := int((~torch.isfinite(found)).sum()):
        raise NonFiniteError(
            f"the prior {trained.about.prior.name} {trained.fingerprint()[:12]} is damaged: it "
            f"gives {wrong} of {int(lengths.sum()) * len(prior.codebook_sizes)} codes no finite "
            f"log-probability; copy its folder again, or train it anew"
        )
    for item, length in zip(found.cpu().numpy(), lengths.tolist(), strict=True):
        yield item[:, :length]


def _checked(codes: Int[Tensor, "K T"], sizes: Sequence[int]) -> Int[Tensor, "K T"]:
    fits = codes.shape[0] == len(sizes) and codes.shape[1] > 0
    if not fits or any(
        int(row.min()) < 0 or int(row.max()) >= n for row, n in zip(codes, sizes, strict=True)
    ):
        raise ConfigError(
            f"codes of shape {tuple(codes.shape)} with values up to "
            f"{int(codes.max()) if codes.numel() else 0} given; the prior takes (K, T) with T > 0 "
            f"and values in [0, N), N = {tuple(sizes)}: use codes of the model it is of"
        )
    return codes


def _stretches(frames: Sequence[int], rows: int) -> Iterator[range]:
    """Yield utterances by number, in order, as many as are held at a time."""
    start, codes = 0, 0
    for i, length in enumerate(frames):
        codes += length * rows
        if codes >= _STRETCH:
            yield range(start, i + 1)
            start, codes = i + 1, 0
    if start < len(frames):
        yield range(start, len(frames))


def _most_frames(trained: TrainedPrior) -> int:
    """Return how many frames a batch may have, padding included."""
    prior = trained.module
    logits = _LOGITS if prior.device.type == "cpu" else _LOGITS_ON_GPU
    return logits // (prior.num_codebooks * max(prior.codebook_sizes))


def _batches(most: int, frames: Sequence[int], order: Sequence[int]) -> Iterator[Sequence[int]]:
    """Yield utterances by number, those of a batch about equally long."""
    batch: list[int] = []
    for i in order:
        longest = frames[batch[0]] if batch else 0
        if batch and (len(batch) + 1) * longest > most:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
