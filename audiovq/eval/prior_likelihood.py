"""How probable a prior finds codes: nats per utterance, each scored whole and on its own."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from audiovq.prior._base import Prior
from audiovq.prior._release import TrainedPrior
from audiovq.units.given import condition_of
from audiovq.units.sequences import CodeSequences

_LOGITS = 1 << 22  # at a time, 4 bytes each, unless one utterance alone has more


@torch.no_grad()
def nats(
    trained: TrainedPrior, sequences: CodeSequences, part: tuple[int, int] = (0, 1)
) -> Float64[np.ndarray, "U"]:
    """Return minus the log-probability of each utterance (nats), added up in float64.

    A prior that takes labels is told the speakers it knows.

    Args:
        trained: the prior, in eval mode.
        sequences: the utterances.
        part: which of how many parts of the utterances; those of other parts get 0.
    """
    prior = trained.module
    device = next((t.device for t in [*prior.parameters(), *prior.buffers()]), torch.device("cpu"))
    found = np.zeros(len(sequences))
    for chosen in _batches(prior, sequences, part):
        rows = [sequences.codes[i].T.long() for i in chosen]
        codes = pad_sequence(rows, batch_first=True).transpose(1, 2).to(device)
        lengths = torch.tensor([len(row) for row in rows], device=device)
        condition = condition_of(trained, sequences, chosen, device)
        bits: Tensor = prior.log_prob(codes, lengths, condition)
        found[list(chosen)] = -bits.double().sum(dim=(1, 2)).cpu().numpy()
    return found


def _batches(
    prior: Prior, sequences: CodeSequences, part: tuple[int, int]
) -> Iterator[Sequence[int]]:
    """Yield utterances by number, those of a batch about equally long."""
    frames = sequences.frames
    order = np.argsort(-frames, kind="stable")[part[0] :: part[1]]
    per_frame = prior.num_codebooks * max(prior.codebook_sizes)
    batch: list[int] = []
    for i in order:
        longest = frames[batch[0]] if batch else 0
        if batch and (len(batch) + 1) * longest * per_frame > _LOGITS:
            yield batch
            batch = []
        batch.append(int(i))
    if batch:
        yield batch
