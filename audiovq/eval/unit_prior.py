"""What units cost under a trained prior of theirs, in bits per second.

Unlike the rates of `eval.unit_rates`, these are fitted elsewhere: to the codes that the prior was
trained on. Neither includes the cost of the prior or of a table of probabilities.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch

from audiovq.errors import CheckpointError, ConfigError
from audiovq.eval.coded import Coded
from audiovq.eval.estimate import ratio_over_speakers
from audiovq.eval.labelled import Corpus
from audiovq.eval.prior_likelihood import code_nats, unigram_nats
from audiovq.eval.unit_values import Figure
from audiovq.prior._release import TrainedPrior


def evaluate(corpus: Corpus, trained: TrainedPrior) -> tuple[list[Figure], list[str]]:
    """Return what codes cost under a prior and its training codes' frequencies, and notes.

    Raises:
        CheckpointError: the prior is of other codes.
        NonFiniteError: it is damaged.
    """
    source, utterances = corpus.coded, corpus.utterances
    trained.check(source.fingerprint, source.codebook_sizes, source.label)
    codes = [torch.from_numpy(u.codes) for u in utterances]
    speakers = [u.speaker for u in utterances]
    seconds = np.array([u.duration for u in utterances])
    found = {"trained_unigram_bitrate": unigram_nats(trained, codes)}
    each = code_nats(trained, codes, speakers)
    found["prior_bitrate"] = np.array([nats.sum(dtype=np.float64) for _, nats in each])
    count, figures = sum(c.numel() for c in codes), []
    for name, cost in found.items():
        if cost is not None:
            e = ratio_over_speakers(cost / math.log(2), seconds, speakers)
            figures.append(
                Figure(
                    name, e.value, low=e.low, high=e.high, interval=e.interval, count=count,
                    over="codes",
                )
            )  # fmt: skip
    return figures, _notes(corpus, trained)


def of(coded: Coded, priors: Sequence[TrainedPrior]) -> TrainedPrior | None:
    """Return the one of some priors that is of these codes."""
    return next((p for p in priors if _fits(coded, p)), None)


def check(sources: Sequence[Coded], priors: Sequence[TrainedPrior]) -> None:
    """Look whether each prior is of one of the sources' codes, and no two are of the same.

    Raises:
        CheckpointError: a prior is of other codes.
        ConfigError: two are of the same codes, or one is given more than codes.
    """
    for prior in priors:
        about = prior.about
        if about.condition_codes or about.condition_features:
            raise ConfigError(
                f"--prior: the {about.prior.name} is given other codes or features: `audiovq score "
                f"PRIOR UNITS` scores it, with --given-codes and --given-features"
            )
        if not any(_fits(coded, prior) for coded in sources):
            mine = prior.about.codes
            there = ", ".join(f"{c.label} of {c.fingerprint[:12]}" for c in sources)
            raise CheckpointError(
                f"--prior: the {prior.about.prior.name} is of codes of the model "
                f"{mine.model_hash[:12]} (codebooks {mine.codebook_sizes}), and there are {there}: "
                f"give a prior that was trained on codes of that model"
            )
    most = Counter(p.about.codes.model_hash for p in priors).most_common(1)
    if most and most[0][1] > 1:
        raise ConfigError(
            "--prior: two priors are of the same codes; give one, and compare them with `audiovq "
            "score PRIOR UNITS --beside PRIOR`"
        )


def _fits(coded: Coded, prior: TrainedPrior) -> bool:
    mine, part = prior.about.codes, prior.about.part
    if part is not None and not part.is_first:
        return False
    return coded.fingerprint == mine.model_hash and coded.codebook_sizes == mine.codebook_sizes


def _notes(corpus: Corpus, trained: TrainedPrior) -> list[str]:
    prior = f"{trained.about.prior.name} {trained.fingerprint()[:12]}"
    said = [f"the prior-coded bitrate is by the prior {prior}"]
    if learned := sum(u.split == "train" for u in corpus.utterances):
        said.append(
            f"{learned} of {len(corpus.utterances)} utterances are of the split train: if the "
            f"prior was trained on them, its bitrate is too low; --split test shows it on others"
        )
    return said
